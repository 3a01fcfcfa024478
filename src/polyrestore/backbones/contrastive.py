"""AirNet's degradation encoder and the momentum contrast that it is trained by.

Attribute names are those of the published state dict.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.1


class EncoderBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation beside a 1x1 shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, D, ceil(H / stride), ceil(W / stride))."""
        return functional.leaky_relu(self.backbone(features) + self.shortcut(features), SLOPE)


class DegradationEncoder(nn.Module):
    """Encode what is wrong with an image: a map at full resolution, and one vector for the contrast."""

    def __init__(self, width: int) -> None:
        super().__init__()
        dim = 4 * width
        self.E_pre = EncoderBlock(3, width)
        self.E = nn.Sequential(
            EncoderBlock(width, 2 * width, stride=2),
            EncoderBlock(2 * width, dim, stride=2),
            nn.AdaptiveAvgPool2d(1),
        )
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.LeakyReLU(SLOPE), nn.Linear(dim, dim))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, 3, H, W) in [0, 1] to a direction (B, 4 width) of length 1 and a map (B, width, H, W)."""
        degradation: Tensor = self.E_pre(image)
        direction = functional.normalize(self.mlp(self.E(degradation).flatten(1)), dim=1)
        return direction, degradation


class MomentumContrast(nn.Module):
    """An encoder, its slow copy, and a queue of what the copy made of earlier images.

    Source: He et al., CVPR 2020, arXiv 1911.05722, algorithm 1.

    Args:
        width: channels of the degradation map.
        queue_length: how many earlier images the present ones are told apart from.
        momentum: how much of the copy stays in a step.
        temperature: divides the similarities.
    """

    queue: Tensor
    queue_ptr: Tensor

    def __init__(
        self, width: int, queue_length: int, momentum: float = 0.999, temperature: float = 0.07
    ) -> None:
        super().__init__()
        if queue_length < 1:
            raise ValueError(f"the queue must hold at least one image, not {queue_length}")
        self.momentum = momentum
        self.temperature = temperature
        self.encoder_q = DegradationEncoder(width)
        self.encoder_k = copy.deepcopy(self.encoder_q).requires_grad_(False)
        self.register_buffer("queue", functional.normalize(torch.randn(4 * width, queue_length), dim=0))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

    def forward(self, query_crop: Tensor, key_crop: Tensor) -> tuple[Tensor, Tensor]:
        """Tell crops of the same images from all images in the queue; the copy and the queue move on.

        Args:
            query_crop: (B, 3, H, W), RGB in [0, 1].
            key_crop: (B, 3, H, W), another crop of each of the same images.

        Returns:
            The mean cross-entropy of the similarities, with the key as the right answer, and the degradation
            map (B, width, H, W) of the query.
        """
        query, degradation = self.encoder_q(query_crop)
        with torch.no_grad():
            self._follow()
            key, _ = self.encoder_k(key_crop)
        same = (query * key).sum(1, keepdim=True)
        # The queue changes below, while the backward pass still needs what it held here.
        others = query @ self.queue.clone()
        logits = torch.cat([same, others], dim=1) / self.temperature
        right = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        self._enqueue(key)
        return functional.cross_entropy(logits, right), degradation

    @torch.no_grad()
    def _follow(self) -> None:
        pairs = zip(self.encoder_k.parameters(), self.encoder_q.parameters(), strict=True)
        for slow, present in pairs:
            slow.lerp_(present, 1 - self.momentum)

    @torch.no_grad()
    def _enqueue(self, keys: Tensor) -> None:
        length = self.queue.shape[1]
        keys = keys[-length:]
        start = int(self.queue_ptr)
        places = (start + torch.arange(len(keys), device=keys.device)) % length
        # In mixed precision the keys are in fewer bits than the queue.
        self.queue[:, places] = keys.T.to(self.queue.dtype)
        self.queue_ptr[0] = (start + len(keys)) % length


class ContrastiveEncoder(nn.Module):
    """Holds the contrast one level down, where the published state dict has it."""

    def __init__(self, contrast: MomentumContrast) -> None:
        super().__init__()
        self.E = contrast

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, 3, H, W) in [0, 1] to the degradation map (B, width, H, W)."""
        return cast(Tensor, self.E.encoder_q.E_pre(image))
