"""Restore with a pipeline that is called as those of diffusers are: ``pipe(image).images``.

    pipe = RestorationPipeline.from_pretrained()
    pipe("photo.jpg", strength=0.8).images[0].save("restored.png")

There is no prompt: what is wrong is recognised, or named with ``adapters``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor

import polyrestore

OutputType = Literal["pil", "np", "pt"]


@dataclass
class RestorationOutput:
    """What a call gives.

    Attributes:
        images: a list of Pillow images for ``"pil"``; in [0, 1] an array (B, H, W, 3) for ``"np"`` and a
            tensor (B, 3, H, W) for ``"pt"``.
        weights: the composition that acted on each image; empty for one that stayed as it was.
    """

    images: Any
    weights: list[dict[str, float]]


class RestorationPipeline:
    """A restorer with the manners of a pipeline of diffusers."""

    def __init__(self, restorer: polyrestore.Restorer) -> None:
        self.restorer = restorer

    @classmethod
    def from_pretrained(cls, bundle: str = "default", device: str | None = None, **options: Any) -> Self:
        """Open a bundle: the name of a shipped one, or a folder; options are those of polyrestore.load."""
        return cls(polyrestore.load(bundle, device, **options))

    @torch.no_grad()
    def __call__(
        self,
        image: Any,
        *,
        adapters: str | Mapping[str, float] | None = None,
        strength: float = 1.0,
        output_type: OutputType = "pil",
    ) -> RestorationOutput:
        """Restore an image, a list of images, or a batch (B, 3, H, W).

        Args:
            image: all that Restorer.restore takes, or several of them.
            adapters: the composition to use in place of the recognised one.
            strength: 0 gives the input, 1 the restored image.
            output_type: what the images are.
        """
        several = isinstance(image, Sequence) and not isinstance(image, str | bytes)
        batch = isinstance(image, Tensor | np.ndarray) and image.ndim == 4
        given = list(image) if several or batch else [image]
        results = [self.restorer.restore(each, as_=adapters, strength=strength) for each in given]
        pixels = [result.pixels for result in results]
        return RestorationOutput(_as_asked(pixels, output_type), [result.weights for result in results])


def _as_asked(pixels: list[Tensor], output_type: OutputType) -> Any:
    if output_type == "pt":
        return torch.stack(pixels)
    if output_type == "np":
        return torch.stack(pixels).permute(0, 2, 3, 1).numpy()
    levels = [(each.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy() for each in pixels]
    return [PILImage.fromarray(each) for each in levels]
