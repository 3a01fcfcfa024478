"""A tiny network with every kind of layer that a backbone has, and adapters that do something."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from polyrestore.adapters import Adapter, AdapterBank, AdapterConfig, BottleneckConfig, LoraConfig


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(width, 2 * width, 1)
        self.spatial = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.narrow = nn.Conv2d(2 * width, width, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        mixed: Tensor = features + self.narrow(torch.tanh(self.spatial(self.widen(features))))
        return mixed


class TinyNetwork(nn.Module):
    """1x1, 3x3, strided, depth-wise, reflect-padded and 2x2 convolutions, and linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.context = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 8))
        self.intro = nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")
        self.levels = nn.ModuleList([nn.Sequential(Block(8), Block(8)), nn.Sequential(Block(8))])
        self.down = nn.Conv2d(8, 8, 2, stride=2)
        self.strided = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.up = nn.Conv2d(16, 32, 1, bias=False)
        self.ending = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        context = self.context(image.mean(dim=(2, 3)))[:, :, None, None]
        features = self.levels[0](self.intro(image) + context)
        lower = self.levels[1](torch.cat([self.down(features), self.strided(features)], dim=1)[:, :8])
        joined = torch.cat([lower, self.strided(features)], dim=1)
        restored: Tensor = image + self.ending(features + nn.functional.pixel_shuffle(self.up(joined), 2))
        return restored


CONFIGS: dict[str, AdapterConfig] = {
    "lora": LoraConfig(rank=3, alpha=5.0),
    "bottleneck": BottleneckConfig(reduction=2),
}


def make_trained(name: str, config: AdapterConfig, seed: int, strength: float = 0.2) -> Adapter:
    """An adapter with every value away from zero, as training leaves it."""
    generator = torch.Generator().manual_seed(seed)
    bank = AdapterBank(build_network())
    bank.create(name, config, generator)
    fresh = bank.export(name)
    tensors = {
        key: tensor + strength * torch.randn(tensor.shape, generator=generator)
        for key, tensor in fresh.tensors.items()
    }
    return Adapter(name, fresh.config, tensors)


def build_network() -> TinyNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return TinyNetwork()


@pytest.fixture
def make_network() -> Callable[[], TinyNetwork]:
    return build_network


@pytest.fixture
def network() -> TinyNetwork:
    return build_network()


@pytest.fixture
def trained() -> Callable[..., Adapter]:
    return make_trained


@pytest.fixture(params=sorted(CONFIGS))
def config(request: pytest.FixtureRequest) -> AdapterConfig:
    return CONFIGS[request.param]


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 10, 6, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def bank(network: TinyNetwork) -> AdapterBank:
    """Two LoRAs and a bottleneck on one network."""
    bank = AdapterBank(network)
    bank.add(make_trained("rain", CONFIGS["lora"], 1))
    bank.add(
        make_trained("noise", LoraConfig(rank=2, targets=("intro", "levels.0.1.narrow", "context.2")), 2)
    )
    bank.add(make_trained("train", CONFIGS["bottleneck"], 3))
    return bank
