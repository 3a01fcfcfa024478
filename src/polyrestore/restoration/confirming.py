"""Whether an adapter that is asked for finds anything to do.

The recogniser sees an image as a whole, and may take something else for what was taught to it with a few
dozen pairs. The adapter looks closer: where there is nothing to be taken off, it changes next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from polyrestore.recognition import Recognition, RecognitionSettings
from polyrestore.recognition.similarity import weigh_similarities

# Four parts, in the middles of an image's quarters, tell enough of it and cost what a small image does.
_PART_PX = 256


def confirmed(
    recognition: Recognition, settings: RecognitionSettings, change_by: Callable[[str], float]
) -> Recognition:
    """Return a recognition without the adapters that find too little to do.

    Args:
        recognition: of an image.
        settings: that it was weighed with; ``least_changes`` says which adapters have to prove themselves.
        change_by: gives how much an adapter alone would change the image, in grey levels.
    """
    asked: set[str] = set()
    refuted: set[str] = set()
    # What was superseded by a refuted adapter acts again, and may have to prove itself.
    while found := {*recognition.weights} & {*settings.least_changes} - asked:
        asked.update(found)
        refuted.update(name for name in found if change_by(name) < settings.least_changes[name])
        again = weigh_similarities(recognition.similarities, settings, refuted)
        recognition = replace(again, severities=recognition.severities)
    return recognition


def parts_of(pixels: Tensor) -> list[Tensor]:
    """Return the parts of an image (3, H, W) that an adapter is tried on, all of it where it is small."""
    rows, columns = (_spans(side) for side in pixels.shape[1:])
    return [pixels[:, down, across] for down in rows for across in columns]


def change_in(pixels: Tensor, restore: Callable[[Tensor], Tensor]) -> float:
    """Return by how much parts of an image are changed, the root mean square in grey levels of 255.

    Args:
        pixels: (3, H, W) in [0, 1].
        restore: what changes them.
    """
    errors = []
    for part in parts_of(pixels):
        made = restore(part)
        errors.append((made.clamp(0, 1) - part.to(made).clamp(0, 1)).square().mean())
    return 255 * float(torch.stack(errors).mean().sqrt())


def _spans(side_px: int) -> list[slice]:
    if side_px <= _PART_PX:
        return [slice(0, side_px)]
    if side_px <= 2 * _PART_PX:
        return [slice(0, side_px // 2), slice(side_px // 2, side_px)]
    starts = (side_px // 4 - _PART_PX // 2, 3 * side_px // 4 - _PART_PX // 2)
    return [slice(start, start + _PART_PX) for start in starts]
