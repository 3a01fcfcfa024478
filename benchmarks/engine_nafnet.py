"""NAFNet of width 32 with the blocks [1,1,1,28]/1/[1,1,1,1], to time others beside it.

Chen et al., ECCV 2022, arXiv 2204.04676. It is untrained: only its time matters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyrestore.backbones.layers import ChannelNorm, SimpleGate


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(width, eps=1e-6), ChannelNorm(width, eps=1e-6)
        self.conv1, self.conv3 = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(width, width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1))
        self.conv4, self.conv5 = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(width, width, 1)
        self.gate = SimpleGate()
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        inner = self.gate(self.conv2(self.conv1(self.norm1(features))))
        features = features + self.conv3(inner * self.attention(inner)) * self.beta
        restored: Tensor = features + self.conv5(self.gate(self.conv4(self.norm2(features)))) * self.gamma
        return restored


class NAFNet(nn.Module):
    def __init__(self, width: int = 32, encoders: tuple[int, ...] = (1, 1, 1, 28), middle: int = 1) -> None:
        super().__init__()
        self.intro, self.ending = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.encoders, self.downs = nn.ModuleList(), nn.ModuleList()
        self.ups, self.decoders = nn.ModuleList(), nn.ModuleList()
        for count in encoders:
            self.encoders.append(nn.Sequential(*(Block(width) for _ in range(count))))
            self.downs.append(nn.Conv2d(width, 2 * width, 2, stride=2))
            width *= 2
        self.middle = nn.Sequential(*(Block(width) for _ in range(middle)))
        for _ in encoders:
            self.ups.append(nn.Sequential(nn.Conv2d(width, 2 * width, 1, bias=False), nn.PixelShuffle(2)))
            width //= 2
            self.decoders.append(Block(width))

    def forward(self, image: Tensor) -> Tensor:
        padded = nn.functional.pad(image, (0, -image.shape[-1] % 16, 0, -image.shape[-2] % 16))
        features, skips = self.intro(padded.contiguous(memory_format=torch.channels_last)), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            features = encoder(features)
            skips.append(features)
            features = down(features)
        features = self.middle(features)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            features = decoder(up(features) + skips.pop())
        restored: Tensor = padded + self.ending(features)
        return restored[..., : image.shape[-2], : image.shape[-1]]
