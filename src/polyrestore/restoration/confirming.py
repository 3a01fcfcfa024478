"""Whether an adapter that is asked for finds anything to do.

The recogniser sees an image as a whole, and may take something else for what was taught to it with a few
dozen pairs. The adapter looks closer: where there is nothing to be taken off, it changes next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import torch
from torch import Tensor

from polyrestore.recognition import Recognition, RecognitionSettings
from polyrestore.recognition.similarity import weigh_similarities
from polyrestore.restoration.composed import Composed

# Four parts, in the middles of an image's quarters, tell enough of it and cost what a small image does.
_PART_PX = 256


def confirmed(
    recognition: Recognition,
    settings: RecognitionSettings,
    change_by: Callable[[str, Mapping[str, float]], float],
) -> Recognition:
    """Return a recognition without the adapters that find too little to do.

    Args:
        recognition: of an image.
        settings: that it was weighed with; ``least_changes`` says which adapters have to prove themselves.
        change_by: gives by how many grey levels an adapter changes what others, with their weights, make of
            the image: most find something to do in noise that nobody else takes off.
    """
    asked: set[str] = set()
    refuted: set[str] = set()
    # What was superseded by a refuted adapter acts again, and may have to prove itself.
    while found := sorted({*recognition.weights} & {*settings.least_changes} - asked):
        name = found[0]
        asked.add(name)
        beside = {other: weight for other, weight in recognition.weights.items() if other != name}
        if change_by(name, beside) < settings.least_changes[name]:
            refuted.add(name)
            again = weigh_similarities(recognition.similarities, settings, refuted)
            recognition = replace(again, severities=recognition.severities)
    return recognition


def change_in(
    composed: Callable[[Mapping[str, float]], AbstractContextManager[Composed]],
    pixels: Tensor,
    name: str,
    beside: Mapping[str, float],
) -> float:
    """Return by how many grey levels (root mean square) an adapter changes what is made of an image.

    Args:
        composed: lets a composition act, as a restorer does.
        pixels: (3, H, W) in [0, 1], of which four parts are tried.
        name: of the adapter.
        beside: the weights of others that act; without any, the image itself is changed.
    """
    parts = parts_of(pixels)

    def tried(weights: Mapping[str, float]) -> list[Tensor]:
        with composed(weights) as run:
            # One view is enough, and nobody waits for these tiles.
            trial = replace(run, quality="normal", on_tile=None)
            return [trial(part) for part in parts]

    return change_between(tried(beside) if beside else parts, tried({**beside, name: 1.0}))


def parts_of(pixels: Tensor) -> list[Tensor]:
    """Return the parts of an image (3, H, W) that an adapter is tried on, all of it where it is small."""
    rows, columns = (_spans(side) for side in pixels.shape[1:])
    return [pixels[:, down, across] for down in rows for across in columns]


def change_between(before: Sequence[Tensor], after: Sequence[Tensor]) -> float:
    """Return the root mean square of the differences between images, clipped to [0, 1], in levels of 255."""
    errors = [
        (one.to(other).clamp(0, 1) - other.clamp(0, 1)).square().mean()
        for one, other in zip(before, after, strict=True)
    ]
    return 255 * float(torch.stack(errors).mean().sqrt())


def _spans(side_px: int) -> list[slice]:
    if side_px <= _PART_PX:
        return [slice(0, side_px)]
    if side_px <= 2 * _PART_PX:
        return [slice(0, side_px // 2), slice(side_px // 2, side_px)]
    starts = (side_px // 4 - _PART_PX // 2, 3 * side_px // 4 - _PART_PX // 2)
    return [slice(start, start + _PART_PX) for start in starts]
