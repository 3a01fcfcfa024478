"""The convolutional trunk of the shipped recogniser: EfficientNet-Lite0 without its classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.errors import RecognitionError

STEM_CHANNELS = 32
_BATCH_NORM_EPSILON = 1e-3


@dataclass(frozen=True)
class BlockShape:
    """The shape of one inverted residual block.

    Attributes:
        channels_in: channels that it takes.
        channels_out: channels that it gives.
        expansion: how many times as many channels the depth-wise convolution has as the input.
        kernel_px: side of the depth-wise kernel.
        stride: 2 where the block halves the resolution.
    """

    channels_in: int
    channels_out: int
    expansion: int
    kernel_px: int
    stride: int


def block_shapes() -> tuple[BlockShape, ...]:
    """Return the shapes of EfficientNet-Lite0's sixteen blocks, in their order.

    The table of EfficientNet-B0 (Tan and Le, ICML 2019, arXiv 1905.11946, table 1), which the Lite variant
    keeps; it leaves out squeeze-and-excitation and has ReLU6 for an activation.
    """
    stages = (
        (1, 16, 1, 3, 1),
        (2, 24, 6, 3, 2),
        (2, 40, 6, 5, 2),
        (3, 80, 6, 3, 2),
        (3, 112, 6, 5, 1),
        (4, 192, 6, 5, 2),
        (1, 320, 6, 3, 1),
    )
    shapes: list[BlockShape] = []
    channels = STEM_CHANNELS
    for count, out, expansion, kernel, stride in stages:
        for index in range(count):
            shapes.append(BlockShape(channels, out, expansion, kernel, stride if index == 0 else 1))
            channels = out
    return tuple(shapes)


class SameConvolution(nn.Conv2d):
    """A convolution whose output is the input's size divided by the stride, rounded up.

    Where an odd number of rows or columns has to be added, the extra one goes to the bottom and the right.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', ceil(H / stride), ceil(W / stride)) of (B, C, H, W)."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return functional.conv2d(x, self.weight, self.bias, 1, kernel // 2, 1, self.groups)
        down, right = (max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in x.shape[-2:])
        padded = functional.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        return functional.conv2d(padded, self.weight, self.bias, stride, 0, 1, self.groups)


class InvertedResidual(nn.Module):
    """A block of EfficientNet-Lite: widen, convolve each channel by itself, narrow.

    Args:
        shape: its channels, kernel and stride.
    """

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        wide = shape.channels_in * shape.expansion
        self.residual = shape.stride == 1 and shape.channels_in == shape.channels_out
        self.expand = SameConvolution(shape.channels_in, wide, 1) if shape.expansion > 1 else None
        self.depthwise = SameConvolution(wide, wide, shape.kernel_px, shape.stride, groups=wide)
        self.project = SameConvolution(wide, shape.channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', H', W') of (B, C, H, W)."""
        inner = x if self.expand is None else functional.relu6(self.expand(x))
        inner = functional.relu6(self.depthwise(inner))
        narrowed: Tensor = self.project(inner)
        return x + narrowed if self.residual else narrowed


class Trunk(nn.Module):
    """The first blocks of EfficientNet-Lite0, with batch normalisation folded into the convolutions.

    Args:
        taps: indices of the blocks whose outputs are returned, rising; what comes after the last is left out.

    Raises:
        RecognitionError: the indices do not rise, or there is no such block.
    """

    def __init__(self, taps: tuple[int, ...]) -> None:
        super().__init__()
        shapes = block_shapes()
        if not taps or list(taps) != sorted(set(taps)) or taps[0] < 0 or taps[-1] >= len(shapes):
            raise RecognitionError(f"taps must be rising indices from 0 to {len(shapes) - 1}, not {taps}")
        self.taps = taps
        self.stem = SameConvolution(3, STEM_CHANNELS, 3, 2)
        self.blocks = nn.ModuleList(InvertedResidual(shape) for shape in shapes[: taps[-1] + 1])

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return what the tapped blocks give, (B, C, h, w) each, of images (B, 3, H, W), RGB in [0, 1]."""
        x = functional.relu6(self.stem((image * 255 - 127) / 128))
        tapped = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                tapped.append(x)
        return tapped

    def widths(self) -> list[int]:
        """Return the number of channels of each tapped block."""
        return [block_shapes()[index].channels_out for index in self.taps]


def fold_published_weights(published: Mapping[str, Tensor], taps: tuple[int, ...]) -> dict[str, Tensor]:
    """Turn the published EfficientNet-Lite0 weights into a :class:`Trunk`'s, batch normalisation folded in.

    Args:
        published: the state dict as published, with ``_conv_stem``, ``_bn0`` and ``_blocks.N``.
        taps: of the trunk.

    Raises:
        RecognitionError: a tensor is missing.
    """
    folded: dict[str, Tensor] = {}
    try:
        folded |= _fold(published, "_conv_stem", "_bn0", "stem")
        for index, shape in enumerate(block_shapes()[: taps[-1] + 1]):
            old, new = f"_blocks.{index}.", f"blocks.{index}."
            if shape.expansion > 1:
                folded |= _fold(published, f"{old}_expand_conv", f"{old}_bn0", f"{new}expand")
            folded |= _fold(published, f"{old}_depthwise_conv", f"{old}_bn1", f"{new}depthwise")
            folded |= _fold(published, f"{old}_project_conv", f"{old}_bn2", f"{new}project")
    except KeyError as error:
        raise RecognitionError(
            f"these are not the weights of EfficientNet-Lite0: {error} is missing"
        ) from error
    return folded


def _fold(published: Mapping[str, Tensor], convolution: str, norm: str, name: str) -> dict[str, Tensor]:
    scale = published[f"{norm}.weight"] / torch.sqrt(published[f"{norm}.running_var"] + _BATCH_NORM_EPSILON)
    weight = published[f"{convolution}.weight"] * scale.view(-1, 1, 1, 1)
    return {
        f"{name}.weight": weight,
        f"{name}.bias": published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * scale,
    }
