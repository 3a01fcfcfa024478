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

    They are those that are given where the image uses its range, and where an adapter acts that may change
    how bright a picture is: what happens in a scene has to do with its light, and of a name that no
    degradation of the package has nothing is known.

    Args:
        image: (3, H, W), floats in [0, 1] or levels.
        put: takes the parts of what the image becomes.
        acting: the adapters of the composition.
    """
    names = tuple(acting)
    if not names or any(name not in DEGRADATIONS or DEGRADATIONS[name].stage == "scene" for name in names):
        return image, put
    brightest = max(float(to_floats(image[:, band]).max()) for band in bands_of(image.shape[1]))
    if not 0 < brightest < LEAST_RANGE:
        return image, put
    gain = _STRETCHED_TO / brightest

    def put_back(rows: slice, columns: slice, part: Tensor) -> None:
        put(rows, columns, part / gain)

    return to_floats(image) * gain, put_back
