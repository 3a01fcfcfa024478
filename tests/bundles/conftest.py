"""A whole bundle of tiny parts, with a stand-in for the recogniser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from polyrestore.adapters import AdapterBank, BottleneckConfig, LoraConfig
from polyrestore.backbones import build_backbone
from polyrestore.bundles import Bundle, BundleInfo, MeasuredResult, save_bundle
from polyrestore.recognition import RECOGNISERS, BaseRecogniser

OPTIONS = {
    "width": 8,
    "encoder_blocks": (1, 1),
    "middle_blocks": 1,
    "decoder_blocks": (1, 1),
    "context_dim": 16,
}


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
def fake_recogniser(monkeypatch):
    monkeypatch.setitem(RECOGNISERS, "fake", FakeRecogniser)


@pytest.fixture
def make_bundle() -> Callable[..., Bundle]:
    def make(seed: int = 0) -> Bundle:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            backbone, recogniser = build_backbone("compact", **OPTIONS), FakeRecogniser()
        generator = torch.Generator().manual_seed(seed)
        bank = AdapterBank(backbone)
        bank.create("rain", LoraConfig(rank=2), generator)
        bank.create("noise", BottleneckConfig(reduction=2), generator)
        with torch.no_grad():
            for name in bank.names:
                for parameter in bank.parameters(name):
                    parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        adapters = {name: bank.export(name) for name in bank.names}
        bank.detach()
        return Bundle(
            name="tiny",
            backbone=backbone,
            adapters=adapters,
            recogniser=recogniser,
            prototypes={name: torch.randn(4, generator=generator) for name in ("rain", "noise", "clean")},
            recognition_settings={"temperature": 0.07, "top": 3},
            info=BundleInfo(
                provenance=("generated images (CC0)",),
                results=(MeasuredResult(data="a|b", protocol="RGB, 8 bit", before=20.0, after=30.25),),
                training={"seed": seed, "recipe": {"steps": 3}},
            ),
        )

    return make


@pytest.fixture
def bundle(make_bundle) -> Bundle:
    return make_bundle()


@pytest.fixture
def folder(tmp_path, bundle):
    return save_bundle(tmp_path / "tiny", bundle)
