"""One more degradation than the package has, for as long as a test looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator, Tensor

from polyrestore.degradations import DEGRADATIONS, Degradation


def whiten(image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
    """Mix images (B, 3, H, W) with white that is brighter on one side than on the other."""
    tilt = torch.linspace(0, 1, image.shape[-1]) * torch.rand((len(image), 1, 1, 1), generator=generator)
    return torch.lerp(image, torch.ones_like(image), severity.view(-1, 1, 1, 1) * tilt)


@contextmanager
def registered(name: str = "glare", *, first: bool = True) -> Iterator[None]:
    """Register a degradation, before all others or after them; the registry is as before afterwards."""
    others, entry = dict(DEGRADATIONS), Degradation(name, "scene", "light in the lens", whiten)
    DEGRADATIONS.clear()
    DEGRADATIONS.update({name: entry, **others} if first else {**others, name: entry})
    try:
        yield
    finally:
        DEGRADATIONS.clear()
        DEGRADATIONS.update(others)
