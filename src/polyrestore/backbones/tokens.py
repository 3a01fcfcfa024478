"""Transformer blocks over the pixels of a feature map, as tokens (B, H W, C).

Source: Xie et al., SegFormer, NeurIPS 2021, arXiv 2105.15203, section 3.1, and Valanarasu et al.,
TransWeather, CVPR 2022, arXiv 2111.14813. Attribute names are those of TransWeather's published state dict.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-6


def to_tokens(features: Tensor) -> Tensor:
    """Map (B, C, H, W) to (B, H W, C), row by row."""
    return features.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """Map (B, H W, C) to (B, C, H, W)."""
    return tokens.transpose(1, 2).reshape(len(tokens), -1, height, width)


class PatchEmbedding(nn.Module):
    """A strided convolution over overlapping patches, normalised."""

    def __init__(self, inputs: int, outputs: int, patch_px: int = 3, stride: int = 2) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, outputs, patch_px, stride=stride, padding=patch_px // 2)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, features: Tensor) -> tuple[Tensor, int, int]:
        """Map (B, C, H, W) to tokens (B, h w, D), h and w."""
        embedded = self.proj(features)
        height, width = embedded.shape[-2:]
        return self.norm(to_tokens(embedded)), height, width


class DepthwiseConvolution(nn.Module):
    """A 3x3 convolution of every channel by itself; it tells tokens where they are."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Map (B, H W, C) to the same shape."""
        return to_tokens(self.dwconv(to_map(tokens, height, width)))


class FeedForward(nn.Module):
    """Two linear layers around a depth-wise convolution and GELU."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = DepthwiseConvolution(hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Map (B, H W, C) to the same shape."""
        return cast(Tensor, self.fc2(functional.gelu(self.dwconv(self.fc1(tokens), height, width))))


class Attention(nn.Module):
    """Every token attends to all tokens of a feature map that is smaller by ``reduction``.

    Args:
        dim: channels, a multiple of ``heads``.
        heads: attention heads.
        reduction: side of the squares of tokens that become one key and one value.
        queries: where above 0, so many learned vectors ask instead of the tokens (TransWeather's decoder);
            they are stretched, the nearest for each, to as many as there are keys.
    """

    def __init__(self, dim: int, heads: int, reduction: int, queries: int = 0) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"{dim} channels cannot be shared by {heads} heads")
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.task_query = nn.Parameter(torch.randn(1, queries, dim)) if queries else None
        self.sr = nn.Conv2d(dim, dim, reduction, stride=reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(dim) if reduction > 1 else None

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Map (B, H W, C) to the same shape; H and W are multiples of the reduction."""
        seen = tokens
        if self.sr is not None and self.norm is not None:
            seen = self.norm(to_tokens(self.sr(to_map(tokens, height, width))))
        keys, values = (self._by_head(part) for part in self.kv(seen).chunk(2, dim=-1))
        if self.task_query is None:
            queries = self._by_head(self.q(tokens))
        else:
            # One row of queries per sample before the layer, so that an adapter can differ between samples.
            learned = self._by_head(self.q(self.task_query.expand(len(tokens), -1, -1)))
            queries = functional.interpolate(learned, size=keys.shape[-2:])
        answer = functional.scaled_dot_product_attention(queries, keys, values)
        return cast(Tensor, self.proj(answer.transpose(1, 2).flatten(2)))

    def _by_head(self, tokens: Tensor) -> Tensor:
        samples, count, dim = tokens.shape
        return tokens.reshape(samples, count, self.heads, dim // self.heads).transpose(1, 2)


class TokenBlock(nn.Module):
    """Attention and a feed-forward network, each normalised first and with a residual."""

    def __init__(self, dim: int, heads: int, reduction: int, hidden_ratio: int, queries: int = 0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPSILON)
        self.attn = Attention(dim, heads, reduction, queries)
        self.norm2 = nn.LayerNorm(dim, eps=EPSILON)
        self.mlp = FeedForward(dim, hidden_ratio * dim)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """Map (B, H W, C) to the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens), height, width)
        return cast(Tensor, tokens + self.mlp(self.norm2(tokens), height, width))


def run_stage(blocks: nn.ModuleList, norm: nn.Module, tokens: Tensor, height: int, width: int) -> Tensor:
    """Run blocks over tokens (B, H W, C), normalise, and return the feature map (B, C, H, W)."""
    for block in blocks:
        tokens = block(tokens, height, width)
    return to_map(norm(tokens), height, width)


@torch.no_grad()
def initialise_transformer(module: nn.Module) -> None:
    """Draw starting values: linear layers by a narrow normal, convolutions by their outputs' fan."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
        elif isinstance(layer, nn.Conv2d):
            fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels // layer.groups
            nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
        if isinstance(layer, nn.Linear | nn.Conv2d) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
