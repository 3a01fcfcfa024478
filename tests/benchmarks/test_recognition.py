from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.recognition import main
from polyrestore.degradations import DEGRADATIONS
from polyrestore.recognition import CLEAN
from tests.evaluation.conftest import data as data
from tests.tiny_bundle import save_tiny_bundle


def test_every_degradation_and_every_pair_is_told(data: Path, tmp_path: Path) -> None:
    folder = save_tiny_bundle(tmp_path / "tiny")
    options = ["--data", data / "CBSD68", "--bundle", folder, "--output", tmp_path / "results"]
    assert main([str(option) for option in options]) == 0
    content = json.loads((tmp_path / "results" / "recognition.json").read_text())
    assert list(content["confusion"]) == [*DEGRADATIONS, CLEAN]
    for shares in content["confusion"].values():
        assert sum(shares.values()) == pytest.approx(1, abs=0.01 * len(shares))
        assert set(shares) <= {*DEGRADATIONS, CLEAN}
    pairs = content["mixtures"]
    assert pairs["pairs"] == len(DEGRADATIONS) * (len(DEGRADATIONS) - 1) // 2
    assert 0 <= pairs["both"] <= 1 - pairs["one"]
    page = (tmp_path / "results" / "recognition.md").read_text()
    assert "Bundle tiny, version 1; " in page
    # What an untrained recogniser says lies in the columns, a share of each row.
    for truth, shares in content["confusion"].items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| **{truth}** |")]
        cells = [float(cell) for cell in row.split("|")[2:-1] if cell.strip()]
        assert cells == pytest.approx(
            [shares[name] for name in content["confusion"] if name in shares], abs=0.01
        )


def test_a_missing_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_tiny_bundle(tmp_path / "tiny")
    assert main(["--data", "nowhere", "--bundle", str(folder)]) == 1
    assert capsys.readouterr().err == "error: no folder nowhere\n"
