"""Where one shot ends and the next begins, found on thumbnails of the frames as they come.

A cut changes what is seen at once and for good. Movement changes it in every frame, so that a cut has to
stand out from its neighbours; a flash, of a camera or of lightning, goes back to what was there; and a change
of light leaves the structure as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

THUMBNAIL_PX = 32

FLASH_FRAMES = 6
"""A picture that is back after so many frames was interrupted by a flash."""

# Levels of 8 bits, and shares; of clips that were made for it (tests/video/test_shots.py).
_LEAST_LEVELS = 1.0
_LEAST_STRUCTURE = 0.3
_FLAT_LEVELS = 10.0
_FLAT_SPREAD = 1.0
_TIMES_NEIGHBOURS = 3.0
_SHARE_OF_RETURN = 0.5
_NEIGHBOURS = 8


@dataclass(frozen=True)
class Thumbnail:
    """A frame in few pixels.

    Attributes:
        luma: (N, N) brightness in levels of 8 bits.
        chroma: (2, N, N) colour differences in levels of 8 bits.
    """

    luma: NDArray[np.float32]
    chroma: NDArray[np.float32]


def thumbnail_of(planes: list[NDArray[np.generic]], bits: int) -> Thumbnail:
    """Return a frame's thumbnail, the mean over areas.

    Args:
        planes: brightness (H, W) and two colour differences (h, w).
        bits: of each sample.
    """
    scale = float(1 << (bits - 8))
    luma, blue, red = (_shrunk(plane) / scale for plane in planes)
    return Thumbnail(luma, np.stack([blue, red]))


def _shrunk(plane: NDArray[np.generic]) -> NDArray[np.float32]:
    height, width = plane.shape
    rows = np.linspace(0, height, min(THUMBNAIL_PX, height) + 1).astype(np.intp)[:-1]
    columns = np.linspace(0, width, min(THUMBNAIL_PX, width) + 1).astype(np.intp)[:-1]
    sums = np.add.reduceat(np.add.reduceat(plane, rows, 0, dtype=np.float32), columns, 1)
    areas = np.outer(np.diff(np.append(rows, height)), np.diff(np.append(columns, width)))
    mean: NDArray[np.float32] = (sums / areas).astype(np.float32)
    return mean


def difference(first: Thumbnail, second: Thumbnail) -> float:
    """Return how different two pictures are, in levels of 8 bits; 0 where they differ in light alone."""
    levels = float(np.abs(first.luma - second.luma).mean() + np.abs(first.chroma - second.chroma).mean())
    if levels < _LEAST_LEVELS:
        return 0.0
    spreads = float(first.luma.std()), float(second.luma.std())
    if min(spreads) < _FLAT_SPREAD:
        # A flat picture has no structure to be compared.
        return levels if levels >= _FLAT_LEVELS else 0.0
    product = ((first.luma - first.luma.mean()) * (second.luma - second.luma.mean())).mean()
    structure = 1 - max(0.0, float(product) / (spreads[0] * spreads[1]))
    return levels if structure >= _LEAST_STRUCTURE else 0.0


class CutFinder:
    """Takes the thumbnails of a video's frames one after another, and finds the cuts a little later.

    Example:
        >>> finder = CutFinder()                                      # doctest: +SKIP
        >>> for thumbnail in thumbnails:
        ...     cuts.extend(finder.take(thumbnail))
        >>> cuts.extend(finder.finish())
    """

    def __init__(self) -> None:
        self._count = 0
        # The frames that may still be told to begin a shot, and how much each differs from the one before.
        self._recent: deque[tuple[Thumbnail, float]] = deque()
        self._before: deque[float] = deque(maxlen=_NEIGHBOURS)
        # The latest frame that is decided about, and is no flash.
        self._last: Thumbnail | None = None
        self._newest: Thumbnail | None = None

    def take(self, thumbnail: Thumbnail) -> Iterator[int]:
        """Take the next frame, and yield the number of each frame, from 0, that is now known to begin a shot.

        The first frame of the video is not among them.
        """
        changed = 0.0 if self._newest is None else difference(self._newest, thumbnail)
        self._newest = thumbnail
        self._recent.append((thumbnail, changed))
        self._count += 1
        if len(self._recent) > FLASH_FRAMES:
            yield from self._settle()

    def finish(self) -> Iterator[int]:
        """Yield the rest of the frames that begin a shot."""
        while self._recent:
            yield from self._settle()

    def _settle(self) -> Iterator[int]:
        """Decide about the oldest frame that is not decided about."""
        thumbnail, _ = self._recent.popleft()
        number = self._count - len(self._recent) - 1
        if self._last is None:
            self._last = thumbnail
            return
        changed = difference(self._last, thumbnail)
        if self._stands_out(changed):
            if self._goes_back(self._last, changed):
                return
            self._before.clear()
            yield number
        else:
            self._before.append(changed)
        self._last = thumbnail

    def _stands_out(self, changed: float) -> bool:
        after = [change for _, change in self._recent]
        return changed > _TIMES_NEIGHBOURS * max(_median(self._before), _median(after))

    def _goes_back(self, last: Thumbnail, changed: float) -> bool:
        """Say whether what there was before a change is back soon."""
        return any(difference(last, later) < _SHARE_OF_RETURN * changed for later, _ in self._recent)


def _median(values: list[float] | deque[float]) -> float:
    return float(np.median(values)) if values else 0.0
