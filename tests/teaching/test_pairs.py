"""What is said about pairs that cannot be learned from, and what is set right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from polyrestore.errors import DataError
from polyrestore.teaching.pairs import read_pairs
from polyrestore.teaching.splitting import split_by_scene
from tests.teaching.conftest import drown, picture

Write = Callable[..., Path]
GOOD = [(f"p{index}", drown(picture(index)), picture(index)) for index in range(4)]


def test_useless_pairs_are_left_out_and_shifted_ones_set_right(write_pairs: Write) -> None:
    wide = picture(8, (64, 80))
    folder = write_pairs(
        *GOOD,
        ("same", picture(5), picture(5)),
        ("twice", GOOD[0][1], GOOD[0][2]),
        ("shifted", drown(wide)[:, 2:62, 3:75], wide[:, :60, :72]),
    )
    found = read_pairs(folder)
    assert [pair.name for pair in found.pairs] == ["p0", "p1", "p2", "p3", "shifted"]
    assert found.notes == (
        "input and target are the same image, left out: same",
        "there twice, left out once: twice",
        "shifted onto their targets (px): shifted by -3 right, -2 down",
    )
    shifted = found.pairs[-1]
    expected = drown(shifted.clean.float() / 255)
    assert float((shifted.degraded.float() / 255 - expected).abs().max()) < 2 / 255


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (GOOD[:3], "3 pairs cannot teach anything"),
        ([(name, clean, clean) for name, _, clean in GOOD], "there is nothing to learn"),
        ([*GOOD, ("p4", picture(4), picture(4, (64, 70)))], "'p4' has 72x64 px and its target 70x64 px"),
        ([*GOOD, ("p4", picture(4, (20, 72)), picture(4, (20, 72)))], "at least 48x48 px"),
        ([*GOOD, ("p4", drown(picture(3)), picture(9))], "'p4' shows what the target of 'p3' shows"),
        ([*GOOD, ("p4", picture(4, (64, 90))[:, :, 8:], picture(4, (64, 90))[:, :, :82])], "6 px or more"),
    ],
    ids=["few", "same", "sizes", "small", "mismatched", "far"],
)
def test_what_cannot_be_learned_from_is_one_line(
    pairs: list[tuple[str, torch.Tensor, torch.Tensor]], message: str, write_pairs: Write
) -> None:
    with pytest.raises(DataError, match=message):
        read_pairs(write_pairs(*pairs))


def test_no_scene_is_on_both_sides(write_pairs: Write) -> None:
    folder = write_pairs(*((f"{index}", picture(index // 3), picture(index // 3)) for index in range(9)))
    targets = sorted((folder / "target").iterdir())
    split = split_by_scene([path.stem for path in targets], targets, 0)
    assert split.scenes == 3
    assert {index // 3 for index in split.training}.isdisjoint(index // 3 for index in split.held_back)
    named = [f"{scene}_{index}" for index, scene in enumerate("aaabbbccc")]
    different = [folder / "target" / f"{3 * (index % 3)}.png" for index in range(3)] * 3
    split = split_by_scene(named, different, 0)
    assert split.scenes == 3
    assert {index % 3 for index in split.training}.isdisjoint(index % 3 for index in split.held_back)


def test_one_scene_is_told(write_pairs: Write) -> None:
    folder = write_pairs(*((f"{index}", picture(0), picture(0)) for index in range(5)))
    targets = sorted((folder / "target").iterdir())
    split = split_by_scene([path.stem for path in targets], targets, 0)
    assert len(split.held_back) == 1
    assert "of the same ones" in split.notes[0]
