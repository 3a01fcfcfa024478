"""Layers that the convolutional backbones share."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVEL_SHARES = (0.02, 0.25, 0.5, 0.75, 0.98)
COLOUR_LEVELS = 3 * len(_LEVEL_SHARES)
_LEAST_CHANNELS_LAST = 8


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (B, C, H, W), each pixel by itself.

    Normalising the last axis of a channels-last view is several times faster on a CPU than the same
    arithmetic over axis 1.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return normalised features of the same shape (B, C, H, W)."""
        channels_last = features.permute(0, 2, 3, 1)
        normal = functional.layer_norm(channels_last, self.normalized_shape, self.weight, self.bias, self.eps)
        return normal.permute(0, 3, 1, 2)


class SimpleGate(nn.Module):
    """Product of the two halves of the channels (Chen et al., ECCV 2022, arXiv 2204.04676, section 4)."""

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, 2C, H, W) to (B, C, H, W)."""
        first, second = features.chunk(2, dim=1)
        return first * second


def use_channels_last(module: nn.Module) -> None:
    """Store the convolutions' weights channels last, as the fast kernels want them.

    A network with a layer of :func:`breaks_channels_last` keeps the usual order throughout, because the
    order of a layer's input follows from the layers before it.
    """
    if any(breaks_channels_last(layer) for layer in module.modules()):
        return
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def breaks_channels_last(layer: nn.Module) -> bool:
    """Return whether training a layer in the channels-last order corrupts memory on some processors.

    On x86-64 without AVX-512, oneDNN's backward pass of a strided 1x1 convolution writes beyond its buffers
    when both hold: the order is channels last, and there are fewer than eight input channels.
    """
    if not isinstance(layer, nn.Conv2d):
        return False
    strided_pointwise = set(layer.kernel_size) == {1} and max(layer.stride) > 1
    return strided_pointwise and layer.in_channels // layer.groups < _LEAST_CHANNELS_LAST


def pad_to_multiple(image: Tensor, multiple: int, minimum_px: int = 1, mode: str = "replicate") -> Tensor:
    """Pad (B, C, H, W) on the right and at the bottom, so that both sizes are multiples and large enough.

    Args:
        image: (B, C, H, W), any size from 1x1.
        multiple: what both sizes are rounded up to.
        minimum_px: the least size before rounding.
        mode: ``replicate``, ``constant`` (zeros), or ``reflect``, which repeats edge pixels where the image
            is too small to be mirrored.
    """
    if is_tracing() and mode == "replicate":
        return _extend(image, multiple, minimum_px)
    height, width = image.shape[-2:]
    target_height = -(-max(height, minimum_px) // multiple) * multiple
    target_width = -(-max(width, minimum_px) // multiple) * multiple
    if (target_height, target_width) == (height, width):
        return image
    if mode == "reflect" and (target_height >= 2 * height or target_width >= 2 * width):
        mode = "replicate"
    padding = (0, target_width - width, 0, target_height - height)
    return functional.pad(image, padding, mode=mode)


def average_pool(image: Tensor, side_px: int) -> Tensor:
    """Return means over a grid of cells: (B, C, H, W) to (B, C, S, S), as adaptive pooling has them."""
    if not is_tracing():
        return functional.adaptive_avg_pool2d(image, side_px)
    # Of sizes that are not known before a run, it is a product with a matrix on either side.
    rows, columns = (_pooling_matrix(image.shape[axis], side_px) for axis in (2, 3))
    return rows @ (image @ columns.T)


def size_of(image: Tensor) -> Tensor:
    """Return the height and the width of (B, C, H, W) as (2,) of its type, also in the graph of a trace."""
    if not is_tracing():
        return image.new_tensor(image.shape[-2:])
    return torch.stack([torch.as_tensor(side) for side in image.shape[-2:]]).to(image)


def is_tracing() -> bool:
    """Return whether a graph is being made of what runs."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def _pooling_matrix(length: int, side_px: int) -> Tensor:
    cells, places = torch.arange(side_px)[:, None], torch.arange(length)
    first, last = cells * length // side_px, ((cells + 1) * length + side_px - 1) // side_px
    inside = ((places >= first) & (places < last)).float()
    return inside / inside.sum(1, keepdim=True)


def _extend(image: Tensor, multiple: int, minimum_px: int) -> Tensor:
    """Repeat the last row and column, in steps of a graph that hold for all sizes."""
    for axis in (2, 3):
        length = torch.as_tensor(image.shape[axis])
        wanted = (length.clamp(min=minimum_px) + multiple - 1) // multiple * multiple
        image = image.index_select(axis, torch.minimum(torch.arange(cast(int, wanted)), length - 1))
    return image


def colour_levels(thumbnail: Tensor) -> Tensor:
    """Return five brightness levels per channel, from near black to near white: (B, 3, h, w) to (B, 15)."""
    ordered = thumbnail.flatten(2).sort(dim=2).values
    last = int(ordered.shape[2]) - 1
    return torch.cat([ordered[:, :, round(share * last)] for share in _LEVEL_SHARES], dim=1)
