"""The pairs that a degradation is taught by: read, checked one by one and against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from polyrestore.data import Pair
from polyrestore.data.alignment import MAXIMUM_SHIFT_PX, best_shift, cut_shifted
from polyrestore.data.images import load_pixels, pair_paths
from polyrestore.errors import DataError

LEAST_PAIRS = 4
# Sides below which nothing is learned from an image.
LEAST_PX = 48
# All pairs are held in memory; of larger ones the middle is.
MEMORY_BYTES = 1_500_000_000
# How much smaller the error has to become by a shift before the shift is believed.
_SHIFT_SHARE = 0.8
_ALIGNED_PX = 384
_THUMBNAIL_PX = 24
# An input that resembles its own target less and another one more than that belongs to the other one.
_UNLIKE, _ALIKE = 0.3, 0.9


@dataclass(frozen=True)
class CheckedPairs:
    """Pairs that can be learned from.

    Attributes:
        pairs: uint8 images of one size each.
        targets: the file of each target, to compare scenes by.
        notes: what was found and done about it, one sentence each.
    """

    pairs: tuple[Pair, ...]
    targets: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def read_pairs(folder: Path) -> CheckedPairs:
    """Read ``folder/input`` and ``folder/target`` and check what they hold.

    Pairs whose images are the same teach nothing and are left out, and so is one that is there twice. Inputs
    that are shifted against their targets by a few whole pixels are shifted back.

    Raises:
        DataError: an image has no partner, the images of a pair differ in size or do not belong together, are
            shifted too far or too small, or fewer than four pairs are left.
        ImageError: an image cannot be read.
    """
    paths = pair_paths(folder)
    budget = MEMORY_BYTES // max(1, 2 * len(paths))
    found, notes, large = [], [], 0
    for degraded, clean in paths:
        pair = Pair(degraded.stem, load_pixels(degraded), load_pixels(clean))
        _check_sizes(pair, folder)
        found.append((_middle(pair, budget), clean))
        large += pair.clean.numel() > budget
    if large:
        notes.append(f"the images are large: of {large} of them the middle is learned from")
    kept, told = leave_out_useless(found)
    notes += told
    _check_partners([pair for pair, _ in kept])
    aligned, told = _align([pair for pair, _ in kept])
    return require_enough(CheckedPairs(tuple(aligned), tuple(path for _, path in kept), (*notes, *told)))


def require_enough(found: CheckedPairs) -> CheckedPairs:
    """Refuse fewer pairs than can be learned from.

    Raises:
        DataError: there are fewer than four.
    """
    count = len(found.pairs)
    if count < LEAST_PAIRS:
        told = "".join(f"; {note}" for note in found.notes)
        raise DataError(
            f"{count} pair{'s' * (count != 1)} cannot teach anything: some have to be held back; "
            f"give at least {LEAST_PAIRS}, 20 are better{told}"
        )
    return found


def _check_sizes(pair: Pair, folder: Path) -> None:
    sizes = [f"{image.shape[2]}x{image.shape[1]} px" for image in (pair.degraded, pair.clean)]
    if sizes[0] != sizes[1]:
        raise DataError(f"{folder}: input {pair.name!r} has {sizes[0]} and its target {sizes[1]}")
    if min(pair.clean.shape[1:]) < LEAST_PX:
        raise DataError(
            f"{folder}: {pair.name!r} has {sizes[0]}; at least {LEAST_PX}x{LEAST_PX} px are needed"
        )


def _middle(pair: Pair, budget: int) -> Pair:
    """Cut both images to so many bytes, where they have more."""
    height, width = pair.clean.shape[1:]
    scale = (budget / pair.clean.numel()) ** 0.5
    if scale >= 1:
        return pair
    tall, wide = max(LEAST_PX, int(height * scale)), max(LEAST_PX, int(width * scale))
    top, left = (height - tall) // 2, (width - wide) // 2
    parts = [image[:, top : top + tall, left : left + wide].clone() for image in (pair.degraded, pair.clean)]
    return Pair(pair.name, *parts)


Found = tuple[Pair, Path]


def leave_out_useless(found: Sequence[Found]) -> tuple[list[Found], list[str]]:
    """Leave out pairs whose images are the same, and those that are there twice; say which.

    Raises:
        DataError: the images of every pair are the same.
    """
    kept: list[Found] = []
    same, again = [], []
    for pair, path in found:
        if torch.equal(pair.degraded, pair.clean):
            same.append(pair.name)
        elif any(_equal(pair, other) for other, _ in kept):
            again.append(pair.name)
        else:
            kept.append((pair, path))
    if same and not kept:
        raise DataError("input and target of every pair are the same image: there is nothing to learn")
    notes = []
    if same:
        notes.append(f"input and target are the same image, left out: {_shown(same)}")
    if again:
        notes.append(f"there twice, left out once: {_shown(again)}")
    return kept, notes


def _equal(first: Pair, second: Pair) -> bool:
    return torch.equal(first.degraded, second.degraded) and torch.equal(first.clean, second.clean)


def _check_partners(pairs: Sequence[Pair]) -> None:
    """Refuse an input that shows what the target of another pair shows, and not what its own does."""
    inputs = torch.stack([_thumbnail(pair.degraded) for pair in pairs]) if pairs else torch.zeros(0, 1)
    targets = torch.stack([_thumbnail(pair.clean) for pair in pairs]) if pairs else torch.zeros(0, 1)
    alike = inputs @ targets.T
    for index, pair in enumerate(pairs):
        best = int(alike[index].argmax())
        if best != index and alike[index, index] < _UNLIKE and alike[index, best] > _ALIKE:
            raise DataError(
                f"input {pair.name!r} shows what the target of {pairs[best].name!r} shows, not its own; "
                "give partners the same name"
            )


def _thumbnail(image: Tensor) -> Tensor:
    """Return what an image looks like from afar, as a unit vector without brightness and contrast."""
    small = functional.interpolate(image[None].float(), size=(_THUMBNAIL_PX, _THUMBNAIL_PX), mode="area")
    grey = small.mean(1).flatten()
    return functional.normalize(grey - grey.mean(), dim=0)


def _align(pairs: Sequence[Pair]) -> tuple[list[Pair], list[str]]:
    aligned, shifted = [], []
    for pair in pairs:
        shift = _shift_of(pair)
        if max(map(abs, shift)) >= MAXIMUM_SHIFT_PX:
            raise DataError(
                f"input {pair.name!r} is shifted against its target by {MAXIMUM_SHIFT_PX} px or more; "
                "align the two first"
            )
        if any(shift):
            shifted.append(f"{pair.name} by {shift[1]} right, {shift[0]} down")
            pixels = cut_shifted(pair.degraded, pair.clean, shift)
            pair = Pair(pair.name, *(image.contiguous() for image in pixels))
        aligned.append(pair)
    notes = [f"shifted onto their targets (px): {_shown(shifted)}"] if shifted else []
    return aligned, notes


def _shift_of(pair: Pair) -> tuple[int, int]:
    """Return by how many pixels an input is shifted, down and right; (0, 0) where that is not plain."""
    image, target = (_standardised(_window(each)) for each in (pair.degraded, pair.clean))
    if min(image.shape[1:]) <= 4 * MAXIMUM_SHIFT_PX:
        return 0, 0
    shift = best_shift(image, target)
    if shift == (0, 0):
        return shift
    margin = MAXIMUM_SHIFT_PX

    def error(down: int, right: int) -> float:
        height, width = target.shape[1] - 2 * margin, target.shape[2] - 2 * margin
        moved = image[:, margin + down :, margin + right :][:, :height, :width]
        return float((moved - target[:, margin:-margin, margin:-margin]).square().mean())

    return shift if error(*shift) < _SHIFT_SHARE * error(0, 0) else (0, 0)


def _window(image: Tensor) -> Tensor:
    height, width = (min(_ALIGNED_PX, side) for side in image.shape[1:])
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width].float() / 255


def _standardised(image: Tensor) -> Tensor:
    """Return the grey image without brightness and contrast, which are no shift."""
    grey = image.mean(0, keepdim=True)
    return (grey - grey.mean()) / grey.std().clamp(min=1e-3)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
