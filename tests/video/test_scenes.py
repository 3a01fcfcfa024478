"""Frames of a shot do not jump in brightness, whatever a network makes of the noise in each."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from polyrestore.video.reading import Frame
from polyrestore.video.scenes import STEADY_FRAMES, _steady

FLASH = 20


def changes(first: int = 0, count: int = 40) -> list[tuple[Frame, Tensor]]:
    """Return changes that jump by a level or so, and one that has another reason."""
    jumps = torch.randn(count, generator=torch.Generator().manual_seed(0)) / 255
    detail = torch.linspace(-0.1, 0.1, 12).reshape(1, 3, 4)
    found = []
    for number in range(first, count):
        level = 0.0 if number == FLASH else 0.4 + float(jumps[number])
        frame = Frame(number, [np.zeros((3, 4), np.uint8)], number, 1)
        found.append((frame, (detail + level).repeat(3, 1, 1)))
    return found


def levels(found: list[tuple[Frame, Tensor]]) -> list[float]:
    return [float(change.mean()) * 255 for _, change in found]


def test_levels_that_jump_are_made_steady_and_details_stay() -> None:
    given = changes()
    made = list(_steady(iter(given), 0))
    assert [frame.number for frame, _ in made] == list(range(40))
    usual = [level for number, level in enumerate(levels(made)) if number != FLASH]
    assert np.abs(np.diff(levels(given)[:FLASH])).max() > 1
    assert np.abs(np.diff(usual)).max() < 0.3
    for (_, before), (_, after) in zip(given, made, strict=True):
        torch.testing.assert_close(after - after.mean(), before - before.mean(), atol=1e-6, rtol=0)


def test_a_flash_keeps_its_light_and_gives_none_to_its_neighbours() -> None:
    made = levels(list(_steady(iter(changes()), 0)))
    assert abs(made[FLASH]) < 1e-3
    assert min(made[FLASH - 1], made[FLASH + 1]) > 0.39 * 255


def test_from_the_middle_on_it_is_what_a_whole_run_gives() -> None:
    whole = list(_steady(iter(changes()), 0))
    rest = list(_steady(iter(changes(25 - STEADY_FRAMES)), 25))
    assert [frame.number for frame, _ in rest] == list(range(25, 40))
    for (_, one), (_, other) in zip(whole[25:], rest, strict=True):
        assert torch.equal(one, other)
