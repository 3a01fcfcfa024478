"""A picture that uses a corner of its range, as 12 bits in a file of 16 do, is restored as if it used all.

A network has learned noise beside pictures that go from black to white. One that ends far below white is
flat and dark to it, is smoothed like that, and loses light.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from polyrestore.degradations import DEGRADATIONS
from polyrestore.imaging.bands import bands_of
from polyrestore.imaging.levels import to_floats
from polyrestore.restoration.tiling import Put

LEAST_RANGE = 0.25
"""A picture whose brightest value is below this is stretched."""

_STRETCHED_TO = 0.9


def stretched(image: Tensor, put: Put, acting: Iterable[str]) -> tuple[Tensor, Put]:
    """Return what to restore in place of an image, and what takes the parts of the result.

    They are those that are given where the image uses its range, or may not be stretched (see
    :func:`gain_for`).

    Args:
        image: (3, H, W), floats in [0, 1] or levels.
        put: takes the parts of what the image becomes.
        acting: the adapters of the composition.
    """
    names = tuple(acting)
    if not may_be_stretched(names):
        return image, put
    return stretched_by(image, put, gain_for(brightest_of(image), names))


def stretched_by(image: Tensor, put: Put, gain: float) -> tuple[Tensor, Put]:
    """Return the same for a gain that is known; with a gain of 1, what is given.

    Args:
        image: (3, H, W), floats in [0, 1] or levels.
        put: takes the parts of what the image becomes.
        gain: from :func:`gain_for`.
    """
    if gain == 1:
        return image, put

    def put_back(rows: slice, columns: slice, part: Tensor) -> None:
        put(rows, columns, part / gain)

    return to_floats(image) * gain, put_back


def gain_for(brightest: float, acting: Iterable[str]) -> float:
    """Return what to multiply a picture with before it is restored; 1 where it stays as it is.

    Args:
        brightest: its largest value, from 0 to 1.
        acting: the adapters of the composition.
    """
    if not (may_be_stretched(acting) and 0 < brightest < LEAST_RANGE):
        return 1.0
    return _STRETCHED_TO / brightest


def may_be_stretched(acting: Iterable[str]) -> bool:
    """Return whether no adapter acts that may change how bright a picture is.

    What happens in a scene has to do with its light, and of a name that no degradation of the package has
    nothing is known.
    """
    names = tuple(acting)
    return bool(names) and all(name in DEGRADATIONS and DEGRADATIONS[name].stage != "scene" for name in names)


def brightest_of(image: Tensor) -> float:
    """Return the largest value of an image (3, H, W), floats or levels, as a float in [0, 1]."""
    return max(float(to_floats(image[:, band]).max()) for band in bands_of(image.shape[1]))
