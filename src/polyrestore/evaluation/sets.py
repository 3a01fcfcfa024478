"""Test sets: where their images lie, how they are degraded, and what the degradation is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from polyrestore.data.images import image_paths, pair_paths
from polyrestore.data.layouts import find_sets
from polyrestore.data.layouts.finding import AUTOMATIC
from polyrestore.data.samples import ImageFile, PixelCache, Sample
from polyrestore.data.tasks import FixedNoise
from polyrestore.errors import DataError

ImageDamage = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class EvaluationImage:
    """One test image, (3, H, W), RGB in [0, 1], damaged and true.

    Attributes:
        name: of the target's file, without its ending.
        degraded: the input.
        target: the truth.
        input_name: of the input's file, likewise; empty where it was made from the target.
    """

    name: str
    degraded: Tensor
    target: Tensor
    input_name: str = ""


@dataclass(frozen=True)
class EvaluationSet:
    """A set of test images, which are read when they are needed.

    Attributes:
        name: as it stands in tables.
        samples: where the images lie, in the order that they are measured.
        named: the composition for "the degradation named"; None for clean images.
        damage: makes the input from a clean image; None where the samples are pairs.
        mixture: True when several degradations act, and single adapters are measured beside the composition.
        aligned: True to compare after the best whole-pixel shift.
        sigma_255: of the Gaussian noise that ``damage`` adds; None for any other damage.
    """

    name: str
    samples: Sequence[Sample]
    named: str | None
    damage: ImageDamage | None = None
    mixture: bool = False
    aligned: bool = False
    sigma_255: float | None = None

    def images(self, limit: int | None = None) -> Iterator[EvaluationImage]:
        """Yield the images, the first ``limit`` of them, or all.

        A damaged image depends on its place in the set only, never on what was drawn before. Clean images
        without a damage are their own input.

        Raises:
            ImageError: an image cannot be read.
            DataError: the images of a pair differ in size.
        """
        for index in range(len(self.samples[:limit])):
            yield self.image(index)

    def image(self, index: int) -> EvaluationImage:
        """Return the image at a place, from 0; errors as for :meth:`images`."""
        sample = self.samples[index]
        *degraded, target = (pixels / 255 for pixels in PixelCache(0).read_sample(sample))
        given = degraded[0] if degraded else target
        if self.damage is not None:
            given = self.damage(target, torch.Generator().manual_seed(index))
        name, input_name = self.names(index)
        return EvaluationImage(name, given, target, input_name)

    def names(self, index: int) -> tuple[str, str]:
        """Return what the image at a place, from 0, and its input are called; the input may have no name."""
        sample = self.samples[index]
        return _stem(sample.clean), _stem(sample.degraded)


def clean_samples(folder: Path) -> list[Sample]:
    """Return the photographs of a folder, as samples of nothing.

    Raises:
        DataError: the folder is missing or empty.
    """
    return [Sample("", "test", ImageFile(path)) for path in image_paths(folder)]


def pair_samples(folder: Path) -> list[Sample]:
    """Return the pairs in ``input`` and ``target`` of a folder, matched by file name.

    Raises:
        DataError: the folder is missing or empty, or images have no partner.
    """
    return [
        Sample("", "test", ImageFile(target), ImageFile(degraded)) for degraded, target in pair_paths(folder)
    ]


def found_sets(
    folder: Path, layout: str = AUTOMATIC, *, sigma_255: float | None = None
) -> list[EvaluationSet]:
    """Return the test sets in a folder and below it, whatever published layout they have; one per task.

    Where a set is divided, its images for testing count alone. The degradation is named by the
    set's own name for the task, several with "+" between them.

    Args:
        folder: where to look.
        layout: one of :data:`polyrestore.data.LAYOUTS`, or "auto" for every one.
        sigma_255: noise to add to photographs as published comparisons of denoising do it, clipped and cut to
            whole values; None for none.

    Raises:
        DataError: the folder is missing, holds no set with images to test on, or holds pairs and is to get
            noise.
        UnknownNameError: there is no such layout.
    """
    sets = []
    for found in find_sets(folder, layout):
        if found.split not in ("test", "all"):
            continue
        for task in found.counts():
            samples = tuple(sample for sample in found.samples if sample.task == task)
            name = f"{found.folder.name} {task}".rstrip()
            named = task.replace("+", ",") or None
            if sigma_255 is None:
                sets.append(EvaluationSet(name, samples, named, mixture="+" in task))
            else:
                sets.append(_noisy(name, samples, sigma_255))
    if not sets:
        raise DataError(f"{folder} holds images to train on, and none to test on")
    return sets


def _noisy(name: str, samples: Sequence[Sample], sigma_255: float) -> EvaluationSet:
    if any(sample.degraded is not None for sample in samples):
        raise DataError(f"{name} holds pairs; noise is added to clean photographs only")
    return EvaluationSet(
        f"{name} noise {sigma_255:g}", samples, "noise", damage=FixedNoise(sigma_255), sigma_255=sigma_255
    )


def _stem(file: ImageFile | None) -> str:
    return "" if file is None else Path(file.member or file.path.name).stem
