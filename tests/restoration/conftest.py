from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from polyrestore.adapters import AdapterBank, BottleneckConfig, LoraConfig
from polyrestore.restoration import restorer as module
from polyrestore.restoration.restorer import Restorer
from tests.restoration.tiny_backbone import tiny_backbone


def random_adapter(name: str, config: LoraConfig | BottleneckConfig, seed: int) -> Any:
    """Return an adapter for the tiny backbone that visibly changes its result."""
    bank = AdapterBank(tiny_backbone())
    generator = torch.Generator().manual_seed(seed)
    bank.create(name, config, generator)
    with torch.no_grad():
        for parameter in bank.parameters(name):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return bank.export(name)


def tiny_bundle() -> Any:
    """Return what a restorer needs of a bundle: LoRAs for noise and rain, a bottleneck for haze."""
    adapters = [
        random_adapter("noise", LoraConfig(rank=2), 1),
        random_adapter("rain", LoraConfig(rank=2), 2),
        random_adapter("haze", BottleneckConfig(reduction=2), 3),
    ]
    return SimpleNamespace(
        name="tiny",
        backbone=tiny_backbone(),
        adapters={adapter.name: adapter for adapter in adapters},
        recogniser=torch.nn.Identity(),
        prototypes={"clean": torch.zeros(4)},
        recognition_settings={},
    )


@pytest.fixture
def bundle() -> Any:
    return tiny_bundle()


@pytest.fixture
def restorer(bundle: Any) -> Restorer:
    return Restorer(bundle, "cpu", tile_px=24)


class FakeRecognition:
    """Stands in for ``recognise``: answers with set weights and remembers what it was shown."""

    def __init__(self) -> None:
        self.weights: dict[str, float] = {"noise": 0.75, "rain": 0.25}
        self.shown: list[tuple[int, ...]] = []

    def __call__(self, recogniser: Any, prototypes: Any, image: torch.Tensor, settings: Any) -> Any:
        self.shown.append(tuple(image.shape))
        return SimpleNamespace(weights=dict(self.weights), similarities={"clean": 0.1, **self.weights})


@pytest.fixture
def recognition(monkeypatch: pytest.MonkeyPatch) -> FakeRecognition:
    fake = FakeRecognition()
    monkeypatch.setattr(module, "recognise", fake)
    return fake
