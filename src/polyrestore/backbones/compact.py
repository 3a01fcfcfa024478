"""The default backbone: a small U-Net of NAFNet-like blocks with a global branch.

It departs from NAFNet (Chen et al., ECCV 2022, arXiv 2204.04676) where a photograph has to be cut into tiles.
NAFNet's channel attention averages the feature maps of whatever it is given, so that tiles of one photograph
disagree. Here one vector is computed once from a thumbnail of the whole image; it scales the channels of
every block and sets a tone curve that undoes the global part of a degradation (darkness, veil, colour cast).
Everything else is local, so tiles with enough overlap equal the untiled result.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from polyrestore.backbones.base import AdaptableLayers, layers_in
from polyrestore.backbones.bounds import WholeNumber
from polyrestore.backbones.context_unet import (
    ContextEncoder,
    ContextUNet,
    ToneCurve,
    context_unet_options_of,
    scale_down,
)
from polyrestore.backbones.layers import ChannelNorm, SimpleGate, is_tracing
from polyrestore.backbones.shapes import PublishedOptions, Shapes
from polyrestore.backbones.strips import BlockWeights, run_in_strips
from polyrestore.backbones.veil import VEIL_DIM, Veil, veil_at


class CompactBlock(nn.Module):
    """A NAFNet block whose channel attention comes from the global context instead of a feature mean."""

    def __init__(self, width: int, context_dim: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(width, eps=1e-6)
        self.conv1 = nn.Conv2d(width, 2 * width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.attention = nn.Linear(context_dim, width)
        self.conv3 = nn.Conv2d(width, width, 1)
        self.norm2 = ChannelNorm(width, eps=1e-6)
        self.conv4 = nn.Conv2d(width, 2 * width, 1)
        self.conv5 = nn.Conv2d(width, width, 1)
        self.gate = SimpleGate()
        # NAFNet scales both branches by learned vectors; the convolutions before them can do that for free.
        for last in (self.conv3, self.conv5):
            scale_down(last)
        nn.init.zeros_(self.attention.weight)
        nn.init.ones_(self.attention.bias)

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape under a context of (B, D)."""
        inner = self.gate(self.conv2(self.conv1(self.norm1(features))))
        features = features + self.conv3(inner * self.attention(context)[:, :, None, None])
        result: Tensor = features + self.conv5(self.gate(self.conv4(self.norm2(features))))
        return result

    def weights_under(self, context: Tensor) -> BlockWeights:
        """Return the weights as they act now under a context (1, D), for :func:`run_in_strips`."""
        bias3, bias5 = self.conv3.bias, self.conv5.bias
        bias2 = self.conv2.bias
        assert bias2 is not None
        assert bias3 is not None
        assert bias5 is not None
        attended = self.conv3.weight.flatten(1) * self.attention(context)
        return BlockWeights(
            widen=_behind(self.norm1, self.conv1),
            spread=(self.conv2.weight, bias2),
            narrow=(attended.T.contiguous(), bias3),
            widen_again=_behind(self.norm2, self.conv4),
            narrow_again=(self.conv5.weight.flatten(1).T.contiguous(), bias5),
            eps=self.norm1.eps,
        )


def _run_block(block: nn.Module, features: Tensor, context: Tensor) -> Tensor:
    return run_in_strips(cast(CompactBlock, block).weights_under(context), features)


def _behind(norm: ChannelNorm, convolution: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return the matrix (in, out) and the offset of a 1x1 convolution with those of the norm before it."""
    matrix = convolution.weight.flatten(1)
    assert convolution.bias is not None
    return (matrix * norm.weight).T.contiguous(), convolution.bias + matrix @ norm.bias


class Compact(ContextUNet):
    """U-Net of :class:`CompactBlock` with additive skips and an input residual.

    Args:
        width: channels at full resolution; they double with each level.
        encoder_blocks: blocks per encoder level.
        middle_blocks: blocks at the lowest resolution.
        decoder_blocks: blocks per decoder level, from the lowest resolution up.
        context_dim: length of the global context.
        shuffle: pixel-unshuffle factor of the stem; 2 makes the first level half the resolution.
        veil_width: width of the network that estimates a veil of haze, see :class:`Veil`; 0 for none.
    """

    bounds = {**ContextUNet.bounds, "veil_width": WholeNumber(0, 128)}

    def __init__(
        self,
        width: int = 32,
        encoder_blocks: Sequence[int] = (1, 1, 2),
        middle_blocks: int = 4,
        decoder_blocks: Sequence[int] = (2, 1, 1),
        context_dim: int = 64,
        shuffle: int = 1,
        veil_width: int = 0,
    ) -> None:
        counts = encoder_blocks, middle_blocks, decoder_blocks
        dtypes = (torch.float32, torch.float16)
        super().__init__("compact", width, *counts, context_dim, shuffle, convolutions=1, dtypes=dtypes)
        if veil_width:
            self.options["veil_width"] = veil_width
        self.context_encoder = ContextEncoder(context_dim)
        self.tone = ToneCurve(context_dim)
        self.veil = Veil(veil_width) if veil_width else None
        self._make_levels(width, *counts, partial(CompactBlock, context_dim=context_dim))

    @classmethod
    def published_options(cls, shapes: Shapes) -> PublishedOptions | None:
        """Return the widths, the blocks of each level and the stem's factor of a state dict."""
        if "context_encoder.linear1.weight" not in shapes:
            return None
        veil = "veil.estimator.intro.weight"
        options = context_unet_options_of(shapes)
        return PublishedOptions(
            {**({"veil_width": shapes.size(veil, 0)} if veil in shapes else {}), **options}
        )

    def adaptable_layers(self) -> AdaptableLayers:
        """Return every layer for updates, and the last convolution of each of a block's two branches.

        A veil's gate is for adapters that name it.
        """
        return AdaptableLayers(
            paralleled=layers_in(self, CompactBlock, ("conv3", "conv5")),
            on_request=() if self.veil is None else ("veil",),
        )

    def context(self, image: Tensor) -> Tensor:
        """Return the context (B, D) of whole images (B, 3, H, W); what is known of a veil comes last."""
        return self.with_veil_context(cast(Tensor, self.context_encoder(image)), image)

    def with_veil_context(self, context: Tensor, image: Tensor) -> Tensor:
        """Return a context (B, D) with what is known of the veil over whole images (B, 3, H, W) behind it."""
        return context if self.veil is None else torch.cat([context, self.veil.context(image)], dim=1)

    def without_veil(self, context: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the context (B, D) without what is known of a veil, and images (B, 3, H, W) without it."""
        if self.veil is None:
            return context, image
        own, veil = context[:, :-VEIL_DIM], context[:, -VEIL_DIM:]
        return own, cast(Tensor, self.veil(image, veil))

    def context_at(self, context: Tensor, top: int, left: int) -> Tensor:
        """Return the context for one tile: a veil lies differently over each part of the image."""
        if self.veil is None:
            return context
        return torch.cat([context[:, :-VEIL_DIM], veil_at(context[:, -VEIL_DIM:], top, left)], dim=1)

    def correction(self, images: Tensor, context: Tensor) -> Tensor:
        """Run the levels, as :class:`ContextUNet` does; without gradients on a CPU, blocks run in strips."""
        if self.core_runner is not None or not self._may_run_in_strips(images):
            return super().correction(images, context)
        self.core_runner = partial(self._walk, block_runner=_run_block)
        try:
            return super().correction(images, context)
        finally:
            self.core_runner = None

    def _may_run_in_strips(self, images: Tensor) -> bool:
        if torch.is_grad_enabled() or is_tracing() or torch.is_autocast_enabled(images.device.type):
            return False
        if len(images) > 1 or images.device.type != "cpu" or images.dtype != torch.float32:
            return False
        # What an adapter adds beside a layer is no weight of the layer.
        return not _acts_beside(self)

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Restore (B, 3, H, W), whole images or tiles of them with the context of the whole."""
        if context is None:
            context = self.context(image)
        context, seen = self.without_veil(context, image)
        toned = cast(Tensor, self.tone(seen, context))
        return toned + self.correction(torch.cat([image, toned], dim=1), context)


def _acts_beside(network: nn.Module) -> bool:
    """Say whether an adapter adds something beside a layer of a network."""
    waiting = [network]
    while waiting:
        module = waiting.pop()
        # Not by the method that yields all modules: of adapters there are thousands, for every tile.
        if "active" not in vars(module):
            waiting.extend(child for child in module._modules.values() if child is not None)
        elif module.active:
            return True
    return False
