from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.house_sets import HOUSE_SETS
from benchmarks.test_sets import main
from tests.evaluation.conftest import data as data
from tests.support.tiny_bundle import save_tiny_bundle

PEERS = json.loads((Path(__file__).parents[2] / "benchmarks" / "peers.json").read_text())


def test_prints_a_table_and_writes_json_and_markdown(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = save_tiny_bundle(tmp_path / "tiny")
    chosen = "Rain10,CBSD68 noise 15 + JPEG 30"
    arguments = ["--data", data, "--bundle", bundle, "--sets", chosen, "--limit", 1, "--output", tmp_path]
    assert main([str(each) for each in arguments]) == 0
    report = json.loads((tmp_path / "test-sets.json").read_text())
    assert [each["set"] for each in report["sets"]] == chosen.split(",")
    assert report["about"]["bundle"] == "tiny, version 1"
    assert report["sets"][1]["named_as"] == "noise,jpeg"
    assert len(report["sets"][1]["singles"]) == 12
    text = (tmp_path / "test-sets.md").read_text()
    assert PEERS["Rain10"] in text
    assert "SSIM window uniform 7x7" in text
    assert "Rain10" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sets", "Rain"], "error: unknown test set 'Rain'; did you mean 'Rain10'?"),
        (["--bundle", "./nothing-here"], "error: "),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    arguments: list[str], message: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(data), *arguments]) == 1
    written = capsys.readouterr().err
    assert written.startswith(message)
    assert written.count("\n") == 1


def test_peers_are_named_for_known_sets_only() -> None:
    assert set(PEERS) <= set(HOUSE_SETS)
