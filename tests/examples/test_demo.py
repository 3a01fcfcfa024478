from __future__ import annotations

import re
from pathlib import Path

import pytest

from examples import demo
from polyrestore.degradations import DEGRADATIONS
from polyrestore.imaging import read_image
from tests.support.tiny_bundle import save_tiny_bundle


def test_every_photograph_has_a_licence() -> None:
    stated = (demo.PHOTOGRAPHS / "LICENCES.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\S+)` \|", stated, re.MULTILINE))
    present = {path.name for path in demo.PHOTOGRAPHS.iterdir()} - {"LICENCES.md"}
    assert listed == present
    assert {case.photograph for case in demo.CASES} <= present


def test_cases_are_damaged_in_ways_that_exist_and_have_names_of_their_own() -> None:
    assert {name for case in demo.CASES for name in case.severities} <= set(DEGRADATIONS)
    assert len({case.name for case in demo.CASES}) == len(demo.CASES)


def test_writes_sheets_and_prints_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = (demo.Case("chelsea.png", {"noise": 0.4, "jpeg": 0.3}), demo.Case("camera.png"))
    monkeypatch.setattr(demo, "CASES", cases)
    bundle = save_tiny_bundle(tmp_path / "tiny")
    output = tmp_path / "out"
    assert demo.main(["--output", str(output), "--bundle", str(bundle)]) == 0
    for name in ("chelsea-noise-jpeg", "camera"):
        sheet = read_image(output / f"{name}.png").pixels
        restored = read_image(output / "restored" / f"{name}.png")
        damaged = read_image(output / "damaged" / f"{name}.png")
        assert restored.pixels.shape == damaged.pixels.shape
        assert restored.metadata.grey == damaged.metadata.grey == (name == "camera")
        assert sheet.shape[-1] > 3 * damaged.pixels.shape[-1]
    overview = read_image(output / "overview.png").pixels
    assert overview.shape[-2] > read_image(output / "camera.png").pixels.shape[-2]
    printed = capsys.readouterr().out
    assert "noise 0.4" in printed
    assert "equal" in printed
    assert "RGB, rounded to 8 bits" in printed


def test_damage_is_the_same_each_time() -> None:
    photograph = read_image(demo.PHOTOGRAPHS / "chelsea.png")
    case = demo.Case("chelsea.png", {"rain": 0.5})
    first, second, other = (demo.damage(photograph, case, seed) for seed in (3, 3, 4))
    assert first.equal(second)
    assert not first.equal(other)


def test_a_missing_bundle_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--output", str(tmp_path), "--bundle", str(tmp_path / "none")]) == 1
    written = capsys.readouterr().err
    assert written.startswith("error: ")
    assert written.count("\n") == 1
