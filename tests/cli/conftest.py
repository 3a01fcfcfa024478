"""A real bundle of tiny, untrained parts, and the command line as a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from polyrestore.adapters import AdapterBank, LoraConfig
from polyrestore.backbones import build_backbone
from polyrestore.bundles import Bundle, save_bundle
from polyrestore.cli.main import run
from polyrestore.imaging import ImageMetadata, write_image
from polyrestore.recognition import RecognitionSettings, build_recogniser


def tiny_bundle(seed: int) -> Bundle:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = build_backbone(
            "compact", width=8, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1), context_dim=16
        )
        recogniser = build_recogniser("network", width=4, dimension=8)
    generator = torch.Generator().manual_seed(seed)
    bank = AdapterBank(backbone)
    for name in ("noise", "rain"):
        bank.create(name, LoraConfig(rank=2), generator)
        for parameter in bank.parameters(name):
            parameter.data.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    adapters = {name: bank.export(name) for name in bank.names}
    bank.detach()
    prototypes = {
        name: torch.nn.functional.normalize(torch.randn(8, generator=generator), dim=0)
        for name in ("noise", "rain", "clean")
    }
    settings = RecognitionSettings().to_dict()
    return Bundle("tiny", backbone, adapters, recogniser, prototypes, settings)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_bundle(tmp_path_factory.mktemp("bundles") / "tiny", tiny_bundle(0)))


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    generator = torch.Generator().manual_seed(1)
    for name in ("a.png", "b.jpg", "sub/c.png"):
        write_image(folder / name, torch.rand(3, 20, 24, generator=generator), ImageMetadata())
    return folder


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call
