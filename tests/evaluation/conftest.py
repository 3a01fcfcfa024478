from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.house_sets import HOUSE_SETS
from polyrestore.imaging import ImageMetadata, write_image


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Generated images in the layout of the test sets: two in each."""
    for folder in {each.folder for each in HOUSE_SETS.values()}:
        paired = any(each.damage is None for each in HOUSE_SETS.values() if each.folder == folder)
        for index in range(2):
            generator = torch.Generator().manual_seed(index)
            coarse = torch.rand(1, 3, 5, 6, generator=generator)
            target = torch.nn.functional.interpolate(coarse, size=(40, 48), mode="bicubic")[0].clamp(0, 1)
            if paired:
                damaged = (target + 0.1 * torch.randn(target.shape, generator=generator)).clamp(0, 1)
                write_image(tmp_path / folder / "input" / f"{index}.png", damaged, ImageMetadata())
                write_image(tmp_path / folder / "target" / f"{index}.png", target, ImageMetadata())
            else:
                write_image(tmp_path / folder / f"{index}.png", target, ImageMetadata())
    return tmp_path
