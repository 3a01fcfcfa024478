from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.composition.__main__ import BEGIN, END, USUAL, main
from polyrestore.degradations import MIXTURES
from tests.evaluation.conftest import data as data
from tests.support.tiny_bundle import save_tiny_bundle

ROOT = Path(__file__).parents[3]


def test_two_bundles_are_measured_and_the_page_gets_the_tables(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundles = [save_tiny_bundle(tmp_path / str(seed) / "tiny", seed) for seed in (0, 1)]
    page = tmp_path / "page.md"
    page.write_text(f"Method\n\n{BEGIN}\nold\n{END}\n\nRest\n")
    arguments = ["--data", data / "CBSD68", "--limit", 1, "--crop-px", 24, "--mixtures", "jpeg+noise"]
    arguments += ["--bundle", bundles[0], "--bundle", bundles[1], "--output", tmp_path, "--page", page]
    assert main([str(each) for each in arguments]) == 0
    content = json.loads((tmp_path / "composition.json").read_text())
    assert [each["sets"][0]["mixture"] for each in content["bundles"]] == ["noise+jpeg"] * 2
    first, second = (each["sets"][0]["ways"]["blind"]["psnr"] for each in content["bundles"])
    assert first != second
    tables = (tmp_path / "composition.md").read_text()
    assert tables.count("## tiny, version 1") == 2
    written = page.read_text()
    assert written.startswith(f"Method\n\n{BEGIN}\n")
    assert written.endswith(f"{END}\n\nRest\n")
    assert "old" not in written
    assert written.count("## tiny, version 1") == 2
    assert "noise+jpeg" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mixtures", "haze+rian"], "error: unknown mixture 'haze+rian'; did you mean"),
        (["--bundle", "./nothing-here"], "error: "),
        (["--page", "nowhere.md"], "error: cannot read nowhere.md"),
        (["--page", str(ROOT / "CONTRIBUTING.md")], "error: "),
        (["--data", "nowhere", "--bundle", "TINY"], "error: no folder nowhere"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    arguments: list[str], message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "TINY" in arguments:
        arguments = [*arguments[:-1], str(save_tiny_bundle(tmp_path / "tiny"))]
    assert main(["--data", str(data / "CBSD68"), "--output", str(tmp_path / "out"), *arguments]) == 1
    written = capsys.readouterr().err
    assert written.startswith(message)
    assert written.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_usual_mixtures_exist_and_the_page_has_a_place_for_tables() -> None:
    assert set(USUAL) <= set(MIXTURES)
    page = (ROOT / "docs" / "experiments" / "composition.md").read_text(encoding="utf-8")
    assert 0 < page.index(BEGIN) < page.index(END)
