"""A whole bundle of tiny parts, with a stand-in for the recogniser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from polyrestore.adapters import AdapterConfig, BottleneckConfig, LoraConfig
from polyrestore.bundles import Bundle, BundleInfo, MeasuredResult, save_bundle
from polyrestore.recognition import RECOGNISERS, BaseRecogniser
from tests.support.tiny_bundle import tiny_bundle

ADAPTERS: dict[str, AdapterConfig] = {"rain": LoraConfig(rank=2), "noise": BottleneckConfig(reduction=2)}


class FakeRecogniser(BaseRecogniser):
    kind = "fake"

    def __init__(self, dim: int = 4) -> None:
        super().__init__()
        self.options = {"dim": dim}
        self.linear = nn.Linear(3, dim)
        self.register_buffer("seen", torch.tensor(12345, dtype=torch.int64))

    def embed(self, image: Tensor) -> Tensor:
        return nn.functional.normalize(self.linear(image.mean(dim=(2, 3))), dim=1)


@pytest.fixture(autouse=True)
def fake_recogniser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECOGNISERS, "fake", FakeRecogniser)


@pytest.fixture
def make_bundle() -> Callable[..., Bundle]:
    def make(seed: int = 0) -> Bundle:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            recogniser = FakeRecogniser()
        info = BundleInfo(
            provenance=("generated images (CC0)",),
            results=(MeasuredResult(data="a|b", protocol="RGB, 8 bit", before=20.0, after=30.25),),
            training={"seed": seed, "recipe": {"steps": 3}},
        )
        return tiny_bundle(
            ADAPTERS,
            seed=seed,
            spread=0.05,
            recogniser=recogniser,
            dimension=4,
            settings={"temperature": 0.07, "top": 3},
            info=info,
        )

    return make


@pytest.fixture
def bundle(make_bundle: Callable[..., Bundle]) -> Bundle:
    return make_bundle()


@pytest.fixture
def folder(tmp_path: Path, bundle: Bundle) -> Path:
    return save_bundle(tmp_path / "tiny", bundle)
