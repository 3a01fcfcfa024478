"""A tiny bundle, pairs of pictures that went dark and blue, and lessons of a few steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from polyrestore.bundles import save_bundle
from polyrestore.imaging import ImageMetadata, write_image
from polyrestore.teaching import Lesson, Training
from tests.support.tiny_bundle import tiny_bundle

SETTINGS = {"activation": "sigmoid", "temperature": 0.003, "clean_threshold": 1.01, "minimum_share": 0.9}


def picture(seed: int, size: tuple[int, int] = (64, 72)) -> Tensor:
    """Return a picture (3, H, W) of a few soft patches of colour."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 7, 9, generator=generator)
    return functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)[0]


def drown(image: Tensor) -> Tensor:
    """Make a picture dark and blue."""
    return image * torch.tensor([0.15, 0.25, 0.45])[:, None, None]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    bundle = tiny_bundle(settings=SETTINGS, spread=0.02)
    return str(save_bundle(tmp_path_factory.mktemp("bases") / "tiny", bundle))


@pytest.fixture
def write_pairs(tmp_path: Path) -> Callable[..., Path]:
    """Write pairs of a name and two pictures, and return their folder."""

    def write(*pairs: tuple[str, Tensor, Tensor]) -> Path:
        for name, damaged, clean in pairs:
            write_image(tmp_path / "pairs" / "input" / f"{name}.png", damaged, ImageMetadata())
            write_image(tmp_path / "pairs" / "target" / f"{name}.png", clean, ImageMetadata())
        return tmp_path / "pairs"

    return write


@pytest.fixture
def lesson(tmp_path: Path, base: str, write_pairs: Callable[..., Path]) -> Lesson:
    """Ten pairs of five scenes, and six steps."""
    shown = [(f"scene{i // 2}-{i}", picture(i)) for i in range(10)]
    folder = write_pairs(*((name, drown(clean), clean) for name, clean in shown))
    how = Training(steps=6, minutes=0, rank=2, patch_px=32, batch_size=2, validate_every=3)
    return Lesson("drowned", folder, tmp_path / "own", base, training=how)
