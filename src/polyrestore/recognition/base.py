"""What every recogniser offers, whatever network it is."""

from __future__ import annotations

from torch import Tensor, nn


class BaseRecogniser(nn.Module):
    """A network that embeds whole images, to be compared with prototypes.

    Attributes:
        options: the plain values that rebuild it.
    """

    options: dict[str, object]

    def embed(self, image: Tensor) -> Tensor:
        """Return unit vectors (B, D) for whole images (B, 3, H, W) of any size, RGB in [0, 1]."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """Return :meth:`embed`."""
        return self.embed(image)
