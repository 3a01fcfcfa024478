"""Self-ensemble: an image is restored in four views of it, mirrored and not, whose mean is the result.

What a network makes of a texture depends a little on how it lies. The mean over the views does not, and is
nearer to the truth (Timofte et al., "Seven Ways to Improve Example-Based Single Image Super Resolution", CVPR
2016; Lim et al., EDSR, CVPRW 2017). Their other four views, which lie on their side, are left out: rain does
not fall sideways.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from polyrestore.errors import UnknownRuntimeError, unknown_name
from polyrestore.imaging.bands import bands_of
from polyrestore.imaging.levels import movable
from polyrestore.restoration.tiling import Put, run_tiled
from polyrestore.runtimes.base import Runtime

QUALITIES: dict[str, int] = {"normal": 1, "best": 4}
"""How many views an image is restored in, by name."""


def require_quality(quality: str) -> None:
    """Refuse a name that is not one of :data:`QUALITIES`.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if quality not in QUALITIES:
        raise unknown_name("quality", quality, QUALITIES, UnknownRuntimeError)


def run_views(
    runtime: Runtime,
    image: Tensor,
    put: Put,
    tile_px: int,
    on_tile: Callable[[int, int], None] | None = None,
) -> None:
    """Run an image through a network in its four views, and hand out the mean.

    Args:
        runtime: as for :func:`~polyrestore.restoration.tiling.run_parts`, like the rest.
        image: (3, H, W), floats in [0, 1] or levels.
        put: called with the rows, the columns and the part of each band of the result.
        tile_px: largest side of a tile.
        on_tile: called after each tile, for each view anew.

    Raises:
        PolyrestoreError: as in :func:`~polyrestore.restoration.tiling.run_parts`.
    """
    mean = mean_of_views(lambda view: run_tiled(runtime, view[None], tile_px, on_tile)[0], image)
    for band in bands_of(mean.shape[1]):
        put(band, slice(None), mean[:, band])


def mean_of_views(run: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Return the mean of what ``run`` makes of the four views of an image, mirrored back.

    Args:
        run: maps an image (3, H, W) of any size, floats or levels, to floats of that size.
        image: (3, H, W), floats or levels.
    """
    total = torch.zeros(image.shape, device=image.device)
    source = movable(image)
    for mirrored in ((), (1,), (2,), (1, 2)):
        total += run(source.flip(mirrored).view(image.dtype)).flip(mirrored)
    return total / QUALITIES["best"]
