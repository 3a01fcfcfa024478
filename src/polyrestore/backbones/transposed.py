"""The blocks that Restormer is made of (Zamir et al., CVPR 2022, arXiv 2111.09881).

Attribute names are those of the published state dict.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.layers import ChannelNorm
from polyrestore.backbones.statistics import Statistics


class BiasFreeNorm(nn.Module):
    """Each pixel divided by the standard deviation of its channels, whose mean is not subtracted."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        variance = features.var(dim=1, correction=0, keepdim=True)
        return features * torch.rsqrt(variance + 1e-5) * self.weight[:, None, None]


class Norm(nn.Module):
    """One of the two normalisations, under the name that published checkpoints give it."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.body = ChannelNorm(width, eps=1e-5) if bias else BiasFreeNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return cast(Tensor, self.body(features))


class TransposedAttention(nn.Module):
    """Multi-head attention between channels instead of pixels (MDTA, section 3.1)."""

    def __init__(self, width: int, heads: int, conv_bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        inner = 3 * width
        self.qkv = nn.Conv2d(width, inner, 1, bias=conv_bias)
        self.qkv_dwconv = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=conv_bias)
        self.project_out = nn.Conv2d(width, width, 1, bias=conv_bias)

    def forward(self, features: Tensor, statistics: Statistics) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        size = features.shape[-2], features.shape[-1]
        queries, keys, values = (
            part.flatten(2).unflatten(1, (self.heads, -1))
            for part in self.qkv_dwconv(self.qkv(features)).chunk(3, dim=1)
        )
        attention = (statistics.cosines(queries, keys, size) * self.temperature).softmax(dim=-1)
        attended = (attention @ values).flatten(1, 2).unflatten(2, size)
        return cast(Tensor, self.project_out(attended))


class GatedFeedForward(nn.Module):
    """Depth-wise convolution whose one half gates the other (GDFN, section 3.2)."""

    def __init__(self, width: int, expansion: float, conv_bias: bool) -> None:
        super().__init__()
        hidden = int(width * expansion)
        self.project_in = nn.Conv2d(width, 2 * hidden, 1, bias=conv_bias)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=conv_bias)
        self.project_out = nn.Conv2d(hidden, width, 1, bias=conv_bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        gate, value = self.dwconv(self.project_in(features)).chunk(2, dim=1)
        return cast(Tensor, self.project_out(functional.gelu(gate) * value))


class TransformerBlock(nn.Module):
    """Transposed attention and a gated feed-forward network, each normalised and residual."""

    def __init__(
        self, width: int, heads: int, expansion: float, norm_bias: bool, conv_bias: bool = False
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} attention heads do not divide {width} channels")
        if int(width * expansion) < 1:
            raise ValueError(f"an expansion of {expansion:g} leaves nothing of {width} channels")
        self.norm1 = Norm(width, norm_bias)
        self.attn = TransposedAttention(width, heads, conv_bias)
        self.norm2 = Norm(width, norm_bias)
        self.ffn = GatedFeedForward(width, expansion, conv_bias)

    def forward(self, features: Tensor, statistics: Statistics) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        features = features + self.attn(self.norm1(features), statistics)
        return cast(Tensor, features + self.ffn(self.norm2(features)))


class PatchEmbed(nn.Module):
    """The first convolution, from colours to features."""

    def __init__(self, colours: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(colours, width, 3, padding=1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Map images (B, colours, H, W) to (B, width, H, W)."""
        return cast(Tensor, self.proj(image))


class Resample(nn.Module):
    """A 3x3 convolution and a pixel shuffle: half the size and twice the channels, or the reverse."""

    def __init__(self, width: int, up: bool) -> None:
        super().__init__()
        convolution = nn.Conv2d(width, 2 * width if up else width // 2, 3, padding=1, bias=False)
        self.body = nn.Sequential(convolution, nn.PixelShuffle(2) if up else nn.PixelUnshuffle(2))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, 2C, H/2, W/2), or to (B, C/2, 2H, 2W)."""
        return cast(Tensor, self.body(features))
