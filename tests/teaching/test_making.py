"""Pairs made of clean photographs, and what is said about functions that do not make any."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from polyrestore.cli.main import run
from polyrestore.errors import DataError, NotationError, PluginError, UnknownDegradationError
from polyrestore.imaging import ImageMetadata, write_image
from polyrestore.teaching.making import find_function, make_pairs, mix_known
from polyrestore.teaching.splitting import split_by_scene
from tests.teaching.conftest import picture
from tests.test_readme import ROOT


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for index in range(4):
        write_image(tmp_path / "clean" / f"IMG_{index}.png", picture(index), ImageMetadata())
    return tmp_path / "clean"


@pytest.mark.parametrize("name", ["halftone", "film_scratches", None])
def test_every_photograph_is_damaged_in_several_ways_and_is_one_scene(
    name: str | None, photographs: Path
) -> None:
    damage = (
        mix_known("low_light, noise") if name is None else find_function(f"{ROOT}/examples/damage.py:{name}")
    )
    found = make_pairs(photographs, damage, 0)
    assert len(found.pairs) == 48
    assert not torch.equal(found.pairs[0].degraded, found.pairs[1].degraded)
    again = make_pairs(photographs, damage, 0)
    assert all(torch.equal(a.degraded, b.degraded) for a, b in zip(found.pairs, again.pairs, strict=True))
    split = split_by_scene([pair.name for pair in found.pairs], found.targets, 0)
    assert (split.scenes, len(split.held_back)) == (4, 12)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 1 / 0", "fails: ZeroDivisionError"),
        ("return image[:, 1:]", r"returns a tensor \(3, 63, 72\), not a tensor \(3, 64, 72\)"),
        ("return 'x'", "returns str"),
        ("return image / 0", "not finite"),
    ],
)
def test_a_function_that_makes_no_image_is_one_line(
    body: str, message: str, photographs: Path, tmp_path: Path
) -> None:
    file = tmp_path / f"{abs(hash(body))}.py"
    file.write_text(f"def spoil(image, generator):\n    {body}\n")
    with pytest.raises(PluginError, match=message):
        make_pairs(photographs, find_function(f"{file}:spoil"), 0)


def test_what_cannot_be_made_is_told(photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place, message in (
        ("spoil", "names no function"),
        ("gone.py:spoil", "no Python file"),
        ("no.such.module:spoil", "cannot import no.such.module"),
        ("math:spoil", "math has no function 'spoil'"),
    ):
        with pytest.raises(PluginError, match=message):
            find_function(place)
    with pytest.raises(UnknownDegradationError, match="did you mean 'noise'"):
        mix_known("noize")
    with pytest.raises(NotationError, match="name noise alone"):
        mix_known("noise=0.5")
    with pytest.raises(DataError, match="there is nothing to learn"):
        make_pairs(photographs, lambda image, generator: image, 0)
    (photographs / "IMG_0.png").unlink()
    with pytest.raises(DataError, match="too few photographs"):
        make_pairs(photographs, mix_known("noise"), 0)
    for arguments in (["--clean", "c"], ["--pairs", "p", "--mixture", "noise"], ["--function", "a.py:b"], []):
        assert run(["teach", "mist", "--into", "own", *arguments]) == 2
        assert "give --pairs FOLDER, or --clean" in capsys.readouterr().err
