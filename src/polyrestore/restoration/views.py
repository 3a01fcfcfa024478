"""Self-ensemble: an image is restored in eight views of it, turned and mirrored, whose mean is the result.

What a network makes of a texture depends a little on how it lies. The mean over the views does not, and is
nearer to the truth (Timofte et al., "Seven Ways to Improve Example-Based Single Image Super Resolution", CVPR
2016; Lim et al., EDSR, CVPRW 2017).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from polyrestore.errors import UnknownRuntimeError, unknown_name

QUALITIES: dict[str, int] = {"normal": 1, "best": 8}
"""How many views an image is restored in, by name."""


def require_quality(quality: str) -> None:
    """Refuse a name that is not one of :data:`QUALITIES`.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if quality not in QUALITIES:
        raise unknown_name("quality", quality, QUALITIES, UnknownRuntimeError)


def mean_of_views(run: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Return the mean of what ``run`` makes of the eight views of an image, turned back.

    Args:
        run: maps an image (3, H, W) of any size to another one of that size.
        image: (3, H, W).
    """
    total = torch.zeros_like(image)
    for turned in (False, True):
        for mirrored in ((), (1,), (2,), (1, 2)):
            view = (image.transpose(1, 2) if turned else image).flip(mirrored)
            result = run(view.contiguous()).flip(mirrored)
            total += result.transpose(1, 2) if turned else result
    return total / QUALITIES["best"]
