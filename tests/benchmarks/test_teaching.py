"""The benchmark of teaching measures unseen images and the test sets with both bundles."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from benchmarks import teaching
from benchmarks.house_sets import HOUSE_SETS
from polyrestore.bundles import save_bundle
from polyrestore.data.negatives import NEGATIVES
from polyrestore.imaging import ImageMetadata, write_image
from polyrestore.teaching import Training, making, recognising
from tests.support.tiny_bundle import tiny_bundle


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(teaching, "Training", partial(Training, steps=2, patch_px=32, batch_size=2, rank=1))
    monkeypatch.setattr(teaching, "HOUSE_SETS", {name: HOUSE_SETS[name] for name in ("CBSD68 clean",)})
    monkeypatch.setattr(making, "_FEWEST", 5)
    monkeypatch.setattr(recognising, "_OTHERS", 2)
    monkeypatch.setattr(recognising, "NEGATIVES", dict(list(NEGATIVES.items())[:2]))
    for folder, count in (("train/BSD381", 30), ("val/BSD32", 4), ("test/CBSD68", 2)):
        for index in range(count):
            generator = torch.Generator().manual_seed(100 * len(folder) + index)
            coarse = torch.rand(1, 3, 6, 7, generator=generator)
            pixels = functional.interpolate(coarse, size=(48, 56), mode="bicubic").clamp(0, 1)[0]
            write_image(tmp_path / folder / f"{index:02}.png", pixels, ImageMetadata())
    return tmp_path


def test_a_lesson_is_measured_on_unseen_images_and_on_the_sets(data: Path, tmp_path: Path) -> None:
    settings = {"activation": "sigmoid", "clean_threshold": 1.1}
    bundle = save_bundle(tmp_path / "tiny", tiny_bundle(settings=settings))
    places = ["--data", str(data), "--bundle", str(bundle), "--output", str(tmp_path)]
    assert teaching.main([*places, "--only", "halftone", "--minutes", "1"]) == 0
    (lesson,) = json.loads((tmp_path / "teaching.json").read_text())["lessons"]
    assert (lesson["name"], lesson["measured"]) == ("halftone", 2)
    # Dots as large as these leave little of a picture.
    assert 3 < lesson["input"] < 15
    (clean,) = lesson["sets"]
    assert (clean["set"], clean["images"]) == ("CBSD68 clean", 2)
    assert 0 <= clean["composed differently"] <= 2
    assert "| CBSD68 clean | 2 |" in (tmp_path / "teaching.md").read_text()


def test_an_unknown_lesson_is_one_line(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert teaching.main(["--data", str(data), "--only", "sepia"]) == 1
    assert capsys.readouterr().err.startswith("error: ")
