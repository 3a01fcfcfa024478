"""Cuts: found where the scene changes for good, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from polyrestore.video.shots import FLASH_FRAMES, CutFinder, Thumbnail, difference, thumbnail_of

Picture = NDArray[np.float64]
HEIGHT, WIDTH = 96, 128


def picture(seed: int, level: float = 110, spread: float = 40) -> Picture:
    """Return a soft picture wider than a frame, so that it can be panned over: (3, H, 2 W)."""
    coarse = np.random.default_rng(seed).normal(0, 1, (3, HEIGHT // 12 + 1, 2 * WIDTH // 12 + 1))
    fine = np.kron(coarse, np.ones((1, 12, 12)))[:, :HEIGHT, : 2 * WIDTH]
    return cast(Picture, level + spread * fine * np.array([1, 0.3, 0.3])[:, None, None])


def still(scene: Picture, count: int, offset: int = 0) -> list[Picture]:
    return [scene[:, :, offset : offset + WIDTH]] * count


def pan(scene: Picture, count: int, step: int) -> list[Picture]:
    return [scene[:, :, number * step : number * step + WIDTH] for number in range(count)]


def cuts(frames: Sequence[Picture], sigma: float = 0) -> list[int]:
    generator = np.random.default_rng(5)
    finder = CutFinder()
    found: list[int] = []
    for frame in frames:
        noisy = np.clip(frame + generator.normal(0, sigma or 1e-9, frame.shape), 0, 255)
        planes = [np.round(plane).astype(np.uint8) for plane in noisy]
        found.extend(finder.take(thumbnail_of([planes[0], planes[1][::2, ::2], planes[2][::2, ::2]], 8)))
    found.extend(finder.finish())
    return found


A, B, C = picture(1), picture(2), picture(3)


@pytest.mark.parametrize("sigma", [0, 25])
def test_cuts_are_found_through_noise_and_still_scenes_are_whole(sigma: float) -> None:
    assert cuts(still(A, 20) + still(B, 15) + still(C, 30), sigma) == [20, 35]
    assert cuts(still(A, 40), sigma) == []


def test_cuts_between_dark_scenes_are_found() -> None:
    dark = [picture(seed, level=16, spread=6) for seed in (1, 2)]
    assert cuts(still(dark[0], 20) + still(dark[1], 20), sigma=4) == [20]


def test_movement_is_no_cut_and_a_cut_in_movement_is_one() -> None:
    assert cuts(pan(A, 30, 4)) == []
    assert cuts(pan(A, 20, 3) + pan(B, 20, 3)) == [20]


@pytest.mark.parametrize("length", [1, 3, FLASH_FRAMES - 1])
def test_a_flash_is_no_cut_if_the_scene_returns(length: int) -> None:
    white = [np.full((3, HEIGHT, WIDTH), 235.0)]
    assert cuts(still(A, 20) + white * length + still(A, 20)) == []
    other = still(B, length)
    assert cuts(still(A, 20) + other + still(A, 20)) == []


def test_a_flash_at_a_cut_does_not_hide_it() -> None:
    white = [np.full((3, HEIGHT, WIDTH), 235.0)] * 2
    found = cuts(still(A, 20) + white + still(B, 20))
    assert found
    assert all(20 <= number <= 22 for number in found)


def test_light_that_changes_is_no_cut() -> None:
    dimmed = [0.5 * frame for frame in still(A, 15)]
    assert cuts(still(A, 15) + dimmed) == []
    fading = [frame * (1 - number / 40) for number, frame in enumerate(still(A, 30))]
    assert cuts(fading) == []


def test_short_videos_and_cuts_at_their_ends() -> None:
    assert cuts([]) == []
    assert cuts(still(A, 1)) == []
    assert cuts(still(A, 1) + still(B, 10)) == [1]
    assert cuts(still(A, 10) + still(B, 1)) == [10]


def test_thumbnails_are_means_and_take_any_size_and_depth() -> None:
    plane = np.arange(35 * 50).reshape(35, 50).astype(np.uint16) % 1024
    small = thumbnail_of([plane, plane[:3, :2], plane[:3, :2]], 10)
    assert small.luma.shape == (32, 32)
    flat = np.full((7, 5), 512, np.uint16)
    made = thumbnail_of([flat, flat, flat], 10)
    assert made.luma.shape == (7, 5)
    assert float(made.luma.min()) == float(made.chroma.max()) == 128
    assert difference(made, Thumbnail(made.luma + 0.5, made.chroma)) == 0
