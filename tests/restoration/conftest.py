from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from polyrestore.adapters import AdapterConfig, BottleneckConfig, LoraConfig
from polyrestore.bundles import Bundle
from polyrestore.restoration import restorer as module
from polyrestore.restoration.restorer import Restorer
from tests.support.tiny_backbone import tiny_backbone
from tests.support.tiny_bundle import tiny_bundle

ADAPTERS: dict[str, AdapterConfig] = {
    "noise": LoraConfig(rank=2),
    "rain": LoraConfig(rank=2),
    "haze": BottleneckConfig(reduction=2),
}


def restorable_bundle() -> Bundle:
    """Return LoRAs for noise and rain, and a bottleneck for haze, on the backbone that makes tiling hard."""
    return tiny_bundle(ADAPTERS, spread=0.3, backbone=tiny_backbone())


@pytest.fixture
def bundle() -> Bundle:
    return restorable_bundle()


@pytest.fixture
def restorer(bundle: Bundle) -> Restorer:
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
