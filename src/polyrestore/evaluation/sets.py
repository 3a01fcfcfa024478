"""Test sets: where their images lie, how they are degraded, and what the degradation is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from polyrestore.data.images import image_paths, load_pairs, load_pixels

ImageDamage = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class EvaluationImage:
    """One test image, (3, H, W), RGB in [0, 1], damaged and true."""

    name: str
    degraded: Tensor
    target: Tensor


@dataclass(frozen=True)
class EvaluationSet:
    """A set of test images.

    Attributes:
        name: as it stands in tables.
        folder: below the folder with all test images.
        named: the composition for "the degradation named"; None for clean images.
        damage: makes the input from a clean image; None where the folder holds pairs.
        mixture: True when several degradations act, and single adapters are measured beside the composition.
        aligned: True to compare after the best whole-pixel shift.
    """

    name: str
    folder: str
    named: str | None
    damage: ImageDamage | None = None
    mixture: bool = False
    aligned: bool = False

    def samples(self, root: Path, limit: int | None = None) -> Iterator[EvaluationImage]:
        """Yield the images in the order of their names, the first ``limit`` of them.

        A damaged image depends on its place in the set only, never on what was drawn before.

        Args:
            root: the folder that holds the folders of all sets.
            limit: how many; None for all.

        Raises:
            DataError: a folder is missing or empty, or pairs do not match.
        """
        folder = root / self.folder
        if self.damage is None:
            for pair in load_pairs(folder)[:limit]:
                yield EvaluationImage(pair.name, pair.degraded / 255, pair.clean / 255)
            return
        for index, path in enumerate(image_paths(folder)[:limit]):
            target = load_pixels(path) / 255
            generator = torch.Generator().manual_seed(index)
            yield EvaluationImage(path.stem, self.damage(target, generator), target)
