"""AirNet: a restorer whose convolutions bend to a map of the degradation.

Source: Li et al., All-In-One Image Restoration for Unknown Corruption, CVPR 2022. Attribute names are those
of the published state dict.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.base import AdaptableLayers, Backbone, BackboneDescription, layers_in
from polyrestore.backbones.bounds import CHANNELS, MOST_BLOCKS, Number, WholeNumber
from polyrestore.backbones.contrastive import SLOPE, ContrastiveEncoder, MomentumContrast
from polyrestore.backbones.deformable import deformable_convolution
from polyrestore.backbones.shapes import PublishedOptions, Shapes
from polyrestore.errors import BackboneError

KERNEL = 3
TAPS = KERNEL * KERNEL


class GuidedDeformableConvolution(nn.Module):
    """A modulated deformable convolution whose offsets and mask also see the degradation map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width, KERNEL, KERNEL))
        self.conv_offset_mask = nn.Conv2d(2 * width, 3 * TAPS, KERNEL, padding=KERNEL // 2)
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        # Training starts from an ordinary convolution with every tap at one half.
        nn.init.zeros_(self.conv_offset_mask.weight)
        nn.init.zeros_(cast(Tensor, self.conv_offset_mask.bias))

    def forward(self, features: Tensor, degradation: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape under a map (B, C, H, W)."""
        guide = self.conv_offset_mask(torch.cat([features, degradation], dim=1))
        offsets, mask = guide[:, : 2 * TAPS], torch.sigmoid(guide[:, 2 * TAPS :])
        return deformable_convolution(features, self.weight, offsets, mask)


class FeatureTransform(nn.Module):
    """Scale and shift every pixel's features by what the degradation map says there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_gamma = _pointwise_pair(width)
        self.conv_beta = _pointwise_pair(width)

    def forward(self, features: Tensor, degradation: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape under a map (B, C, H, W)."""
        return cast(Tensor, features * self.conv_gamma(degradation) + self.conv_beta(degradation))


class GuidedModule(nn.Module):
    """The identity, a guided deformable convolution and a feature transform, added up."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dcn = GuidedDeformableConvolution(width)
        self.sft = FeatureTransform(width)

    def forward(self, features: Tensor, degradation: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape under a map (B, C, H, W)."""
        bent, scaled = self.dcn(features, degradation), self.sft(features, degradation)
        return cast(Tensor, features + bent + scaled)


class GuidedBlock(nn.Module):
    """Two guided modules, each before an ordinary convolution, with a residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dgm1, self.dgm2 = GuidedModule(width), GuidedModule(width)
        self.conv1, self.conv2 = _convolution(width, width), _convolution(width, width)

    def forward(self, features: Tensor, degradation: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape under a map (B, C, H, W)."""
        inner = functional.leaky_relu(self.dgm1(features, degradation), SLOPE)
        inner = functional.leaky_relu(self.conv1(inner), SLOPE)
        inner = functional.leaky_relu(self.dgm2(inner, degradation), SLOPE)
        return cast(Tensor, self.conv2(inner) + features)


class GuidedGroup(nn.Module):
    """Steps under one degradation map, then a convolution, with a residual around them."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.body = nn.ModuleList(modules)

    def forward(self, features: Tensor, degradation: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape under a map (B, C, H, W)."""
        return _guided_residual(self.body, features, degradation)


class GuidedRestorer(nn.Module):
    """Groups of guided blocks between two convolutions, with a residual in feature space."""

    def __init__(self, width: int, groups: int, blocks: int) -> None:
        super().__init__()

        def group() -> GuidedGroup:
            return GuidedGroup(*(GuidedBlock(width) for _ in range(blocks)), _convolution(width, width))

        self.head = nn.Sequential(_convolution(3, width))
        self.body = nn.ModuleList([*(group() for _ in range(groups)), _convolution(width, width)])
        self.tail = nn.Sequential(_convolution(width, 3))

    def forward(self, image: Tensor, degradation: Tensor) -> Tensor:
        """Map (B, 3, H, W) to the same shape under a map (B, C, H, W)."""
        return cast(Tensor, self.tail(_guided_residual(self.body, self.head(image), degradation)))


class AirNet(Backbone):
    """AirNet (Li et al., CVPR 2022): 8,930,313 parameters, of which 7,610,377 are trained.

    A degradation encoder makes a map of the image, and the map conditions every block of the restorer. The
    encoder is trained by contrast: two crops of one image suffer the same, crops of other images do not.
    Training first minimises :meth:`contrastive_loss` alone, then L1 plus a tenth of the contrastive loss,
    both from :meth:`restore_and_contrast`.

    In ``forward`` the encoder's batch normalisation always uses its running statistics, so that an image is
    restored by itself, also while an adapter is trained. The two training methods use the batch's.

    The network has no resolution but one and is never padded. Its deformable convolutions may look as far
    as their offsets say, so that tiles only come close to the whole.

    Args:
        width: channels of the restorer and of the degradation map; contrasted vectors are four times as long.
        groups: groups of blocks in the restorer.
        blocks: blocks in a group.
        queue_length: earlier images to contrast with; the published code has 256 times its batch size.
        momentum: how much of the encoder's slow copy stays in a step.
        temperature: divides the similarities in the contrastive loss.
    """

    tiny_options = {"width": 4, "groups": 2, "blocks": 1, "queue_length": 12}
    bounds = {
        "width": CHANNELS,
        "groups": WholeNumber(1, MOST_BLOCKS),
        "blocks": WholeNumber(1, MOST_BLOCKS),
        "queue_length": WholeNumber(1, 2**24),
        "momentum": Number(0, 1, closed=True),
        "temperature": Number(0, 1000),
    }

    def __init__(
        self,
        width: int = 64,
        groups: int = 5,
        blocks: int = 5,
        queue_length: int = 4096,
        momentum: float = 0.999,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        self.options = {
            "width": width,
            "groups": groups,
            "blocks": blocks,
            "queue_length": queue_length,
            "momentum": momentum,
            "temperature": temperature,
        }
        self.description = BackboneDescription(
            name="airnet",
            size_multiple=1,
            minimum_size_px=1,
            receptive_radius_px=_receptive_radius(groups, blocks),
            global_context=False,
            exact_tiles=False,
        )
        self.R = GuidedRestorer(width, groups, blocks)
        self.E = ContrastiveEncoder(MomentumContrast(width, queue_length, momentum, temperature))
        self.E.eval()

    def train(self, mode: bool = True) -> Self:
        """Set the training mode of everything but the encoder, which keeps its running statistics."""
        super().train(mode)
        self.E.eval()
        return self

    def output_layer(self) -> nn.Conv2d:
        """Return the convolution that makes the image out of the decoder's last features."""
        return cast(nn.Conv2d, self.R.tail[0])

    def moving_state(self) -> dict[str, Tensor]:
        """Return the buffers, and the encoder's slow copy."""
        slow = self.E.E.encoder_k.named_parameters(prefix="E.E.encoder_k")
        return {**super().moving_state(), **dict(slow)}

    @classmethod
    def published_options(cls, shapes: Shapes) -> PublishedOptions | None:
        """Return the widths and numbers of a published state dict; what only contrast uses is assumed."""
        if "R.head.0.weight" not in shapes or "E.E.encoder_q.E_pre.backbone.0.weight" not in shapes:
            return None
        # A convolution ends the body, and every group in it.
        options: dict[str, object] = {
            "width": shapes.size("R.head.0.weight", 0),
            "groups": max(0, shapes.count("R.body") - 1),
            "blocks": max(0, shapes.count("R.body.0.body") - 1),
        }
        if "E.E.queue" in shapes:
            return PublishedOptions(
                {**options, "queue_length": shapes.size("E.E.queue", 1)}, ("momentum", "temperature")
            )
        return PublishedOptions(options, ("queue_length", "momentum", "temperature"))

    def skippable_keys(self) -> frozenset[str]:
        """Return the queue's keys: its length differs between checkpoints, and restoring needs none of it."""
        return frozenset({"E.E.queue", "E.E.queue_ptr"})

    def copied_keys(self) -> Mapping[str, str]:
        """Return the slow copy's keys: contrast begins with a copy of the encoder where there is none."""
        copies = (key for key in self.state_dict() if key.startswith("E.E.encoder_k."))
        return {key: key.replace("encoder_k", "encoder_q", 1) for key in copies}

    def adaptable_layers(self) -> AdaptableLayers:
        """Return the restorer and the degradation map; the contrast is for training alone."""
        contrast = ("E.E.encoder_k", "E.E.encoder_q.E", "E.E.encoder_q.mlp")
        return AdaptableLayers(paralleled=layers_in(self, GuidedBlock, ("conv1", "conv2")), idle=contrast)

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Restore (B, 3, H, W), RGB in [0, 1], any size from 1x1; ``context`` is not used."""
        return cast(Tensor, self.R(image, self.E(image)))

    def contrastive_loss(self, query_crop: Tensor, key_crop: Tensor) -> Tensor:
        """Return how badly crops of one image are told from crops of other images, for the encoder alone.

        Moves the encoder's slow copy and the queue on by one step, and the batch normalisation's averages.

        Args:
            query_crop: (B, 3, H, W), RGB in [0, 1]; gradients reach the encoder through it.
            key_crop: (B, 3, H, W), another crop of each of the same images.

        Returns:
            A scalar: cross-entropy over the key and the queue (He et al., CVPR 2020, equation 1).

        Raises:
            BackboneError: the network is in evaluation mode, or the two batches differ in size.
        """
        return self._contrast(query_crop, key_crop)[0]

    def restore_and_contrast(self, query_crop: Tensor, key_crop: Tensor) -> tuple[Tensor, Tensor]:
        """Return the restored query (B, 3, H, W) and the contrastive loss, from one pass of the encoder.

        Arguments, side effects and errors are those of :meth:`contrastive_loss`.
        """
        loss, degradation = self._contrast(query_crop, key_crop)
        return self.R(query_crop, degradation), loss

    def _contrast(self, query_crop: Tensor, key_crop: Tensor) -> tuple[Tensor, Tensor]:
        if not self.training:
            raise BackboneError("contrasting changes the network; call train() before it")
        if len(query_crop) != len(key_crop):
            raise BackboneError(
                f"every query crop needs a key crop of the same image: {len(query_crop)} and {len(key_crop)}"
            )
        with self._batch_statistics():
            loss, degradation = self.E.E(query_crop, key_crop)
        return loss, degradation

    @contextmanager
    def _batch_statistics(self) -> Iterator[None]:
        self.E.train()
        try:
            yield
        finally:
            self.E.eval()


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, KERNEL, padding=KERNEL // 2)


def _pointwise_pair(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 1, bias=False), nn.LeakyReLU(SLOPE), nn.Conv2d(width, width, 1, bias=False)
    )


def _guided_residual(steps: nn.ModuleList, features: Tensor, degradation: Tensor) -> Tensor:
    """Run all steps but the last under the map, the last one alone, and add what came in."""
    inner = features
    for step in steps[:-1]:
        inner = step(inner, degradation)
    return cast(Tensor, steps[-1](inner) + features)


def _receptive_radius(groups: int, blocks: int) -> int:
    """Bound the reach of a pixel where offsets stay within a pixel, as they do in most places.

    A block has four convolutions of one pixel, two of them deformable with an offset beside; the map itself
    sees two pixels far, and a group, the body and the tail end with a convolution each.
    """
    return 2 + groups * (6 * blocks + 1) + 2
