"""The test sets of this project: where their images lie, and how they are degraded."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor

from polyrestore.degradations import degrade
from polyrestore.errors import UnknownDataNameError, unknown_name
from polyrestore.evaluation.sets import EvaluationSet, ImageDamage, clean_samples, pair_samples


def add_noise(image: Tensor, generator: torch.Generator, sigma_255: float) -> Tensor:
    """Add Gaussian noise, clipped and rounded to 8 bits as a file would be: (3, H, W) to the same shape."""
    noisy = image + torch.randn(image.shape, generator=generator) * (sigma_255 / 255)
    return (noisy.clamp(0, 1) * 255).round() / 255


def compress_jpeg(image: Tensor, quality: int) -> Tensor:
    """Write (3, H, W) as JPEG with Pillow's default colour subsampling, and read it back."""
    array = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    stream = io.BytesIO()
    PillowImage.fromarray(array).save(stream, "JPEG", quality=quality)
    decoded = np.asarray(PillowImage.open(stream).convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(decoded).permute(2, 0, 1).contiguous()


def _noise(image: Tensor, generator: torch.Generator, sigma_255: float) -> Tensor:
    return add_noise(image, generator, sigma_255)


def _jpeg(image: Tensor, generator: torch.Generator, quality: int) -> Tensor:
    return compress_jpeg(image, quality)


def _clean(image: Tensor, generator: torch.Generator) -> Tensor:
    return image


def _noise_and_jpeg(image: Tensor, generator: torch.Generator) -> Tensor:
    return compress_jpeg(add_noise(image, generator, 15), 30)


def _dark_and_noisy(image: Tensor, generator: torch.Generator) -> Tensor:
    dark = degrade(image.unsqueeze(0), {"low_light": 0.5}, generator)[0]
    return add_noise(dark, generator, 15)


@dataclass(frozen=True)
class HouseSet:
    """One of the project's own test sets.

    Attributes:
        name: as it stands in tables.
        folder: below the folder with all test images.
        named: the composition for "the degradation named"; None for clean images.
        damage: makes the input from a clean image; None where the folder holds pairs.
        mixture: True when several degradations act.
        aligned: True to compare after the best whole-pixel shift.
    """

    name: str
    folder: str
    named: str | None
    damage: ImageDamage | None = None
    mixture: bool = False
    aligned: bool = False

    def below(self, root: Path) -> EvaluationSet:
        """Return the set as it lies in a folder with all test images.

        Raises:
            DataError: a folder is missing or empty, or pairs do not match.
        """
        folder = root / self.folder
        samples = pair_samples(folder) if self.damage is None else clean_samples(folder)
        return EvaluationSet(self.name, samples, self.named, self.damage, self.mixture, self.aligned)


def _all_sets() -> list[HouseSet]:
    colour = "CBSD68"
    sets = [
        HouseSet(f"{colour} noise {sigma}", colour, "noise", partial(_noise, sigma_255=sigma))
        for sigma in (15, 25, 50)
    ]
    sets += [
        HouseSet(f"{colour} JPEG {quality}", colour, "jpeg", partial(_jpeg, quality=quality))
        for quality in (10, 20, 40)
    ]
    return [
        *sets,
        HouseSet(f"{colour} clean", colour, None, _clean),
        HouseSet("CC15", "CC15", "noise"),
        HouseSet("Rain10", "Rain10", "rain"),
        HouseSet("SOTSIndoor25", "SOTSIndoor25", "haze"),
        HouseSet("LowLight10", "LowLight10", "low_light"),
        HouseSet("GoProAveraged4", "GoProAveraged4", "motion_blur"),
        HouseSet("GoProAveraged4 aligned", "GoProAveraged4", "motion_blur", aligned=True),
        HouseSet(f"{colour} noise 15 + JPEG 30", colour, "noise,jpeg", _noise_and_jpeg, mixture=True),
        HouseSet(f"{colour} low light + noise 15", colour, "low_light,noise", _dark_and_noisy, mixture=True),
    ]


HOUSE_SETS: dict[str, HouseSet] = {each.name: each for each in _all_sets()}


def house_set(name: str) -> HouseSet:
    """Return a test set by name.

    Raises:
        UnknownDataNameError: there is no set of that name.
    """
    if name not in HOUSE_SETS:
        raise unknown_name("test set", name, HOUSE_SETS, UnknownDataNameError)
    return HOUSE_SETS[name]
