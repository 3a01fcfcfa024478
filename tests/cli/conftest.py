"""A real bundle of tiny, untrained parts, and the command line as a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from polyrestore.bundles import save_bundle
from polyrestore.cli.main import run
from polyrestore.imaging import ImageMetadata, write_image
from tests.support.tiny_bundle import tiny_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_bundle(tmp_path_factory.mktemp("bundles") / "tiny", tiny_bundle()))


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
