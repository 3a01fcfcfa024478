"""Validation by task, on pairs or on clean images damaged always in the same way, read from files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor, nn

from polyrestore.data import (
    ImageFile,
    PixelCache,
    Sample,
    SampleGroup,
    Source,
    SyntheticDamage,
    Task,
    TaskSource,
)
from polyrestore.data.images import image_paths
from polyrestore.data.tasks import Damage
from polyrestore.degradations import DEGRADATIONS
from polyrestore.errors import RecipeError
from polyrestore.training.recipes.batches import held_out_images, held_out_pairs
from polyrestore.training.recipes.data_table import DataTable
from polyrestore.training.recipes.recipe import Recipe
from polyrestore.training.recipes.tasks import load_tasks
from polyrestore.training.validation.crops import (
    SEVERITIES,
    Prepare,
    Validation,
    ValidationSet,
    batch_psnr,
    centre,
)


@dataclass(frozen=True)
class _Spread:
    """Fixed severities in turn, so that few images cover the whole range."""

    damage: SyntheticDamage
    index: int

    def __call__(self, clean: Tensor, generator: Generator) -> Tensor:
        low, high = self.damage.severity
        severity = low + (high - low) * SEVERITIES[self.index % len(SEVERITIES)]
        return replace(self.damage, severity=(severity, severity))(clean, generator)


class TaskValidation:
    """Validation images by task; their pixels are read anew each time, so that sets may be large.

    Args:
        tasks: with their validation samples.
        crop_px: side of the square in the middle of each image; 0 for whole images.
        images: how many per task, spread over its samples; 0 for all.
        seed: of the damage, where images are damaged.
    """

    def __init__(self, tasks: Sequence[Task], crop_px: int = 160, images: int = 12, seed: int = 1234) -> None:
        self.tasks = tuple(tasks)
        self.crop_px = crop_px
        self.seed = seed
        self.chosen = {task.name: _spread(task, images) for task in tasks}
        self._files = PixelCache(0)

    def samples(self, name: str) -> list[tuple[Tensor, Tensor]]:
        """Return the damaged and the clean images of a task, (1, 3, H, W) each, in [0, 1].

        Raises:
            ImageError: an image cannot be read.
            DataError: the two images of a pair differ in size.
        """
        return [self._sample(index, *entry) for index, entry in enumerate(self.chosen[name])]

    def _sample(self, index: int, group: SampleGroup, sample: Sample) -> tuple[Tensor, Tensor]:
        images = [self._centre(image)[None].float() / 255 for image in self._files.read_sample(sample)]
        if group.damage is None:
            return images[0], images[1]
        damage: Damage = group.damage
        if isinstance(damage, SyntheticDamage):
            damage = _Spread(damage, index)
        return damage(images[0], Generator().manual_seed(self.seed + index)), images[0]

    def _centre(self, image: Tensor) -> Tensor:
        return image if self.crop_px == 0 else centre(image, self.crop_px)

    def degradations(self) -> dict[str, tuple[str, ...]]:
        """Return the degradations that act in each task, by task."""
        return {task.name: task.degradations for task in self.tasks}

    @torch.inference_mode()
    def measure(self, restore: nn.Module, prepare: Prepare | None = None) -> dict[str, float]:
        """Return the PSNR in dB by task, on outputs rounded to 8 bits, and their "mean".

        Args:
            restore: maps (B, 3, H, W) to (B, 3, H, W).
            prepare: called with each task's degradations first, to activate its adapters.
        """
        device = next(restore.parameters()).device
        figures = {}
        for task in self.tasks:
            if prepare is not None:
                prepare(task.degradations)
            total = 0.0
            for index, entry in enumerate(self.chosen[task.name]):
                degraded, clean = self._sample(index, *entry)
                total += batch_psnr(restore(degraded.to(device)).float().cpu(), clean)
            figures[task.name] = round(total / len(self.chosen[task.name]), 3)
        figures["mean"] = round(sum(figures.values()) / max(1, len(figures)), 3)
        return figures


def validation_of(recipe: Recipe, source: Source) -> Validation:
    """Return what a recipe with a source of training batches is validated on.

    Paired or clean validation sets come first. Without any, the tasks are synthesised on the photographs that
    are held back: with the noise of a task that trains on noise of fixed strength, else by its degradations.

    Raises:
        RecipeError: a validation set does not have what is asked of it, or a task cannot be synthesised.
        DataError: images are missing or do not pair up.
    """
    data = recipe.data
    if not isinstance(source, TaskSource):
        return held_out_crops(data, source.tasks)
    if data.validation_sets:
        tasks = load_tasks(data.validation_sets, (0.0, 1.0), held_out=True)
    else:
        assert data.validation is not None
        files = [Sample("", "all", ImageFile(path)) for path in image_paths(data.validation)]
        tasks = tuple(replace(task, groups=(_held_out_group(task, files),)) for task in source.task_list)
    return TaskValidation(tasks, data.validation_crop_px, data.validation_images)


def held_out_crops(data: DataTable, tasks: Sequence[str]) -> ValidationSet:
    """Return crops of the pairs that are held back for some tasks, and of damaged photographs for the others.

    Raises:
        RecipeError: there are no photographs for a task without pairs.
        DataError: images are missing or do not pair up.
    """
    pairs = held_out_pairs(data)
    images = [] if all(name in pairs for name in tasks) else held_out_images(data)
    return ValidationSet(images, tasks, pairs=pairs)


def _held_out_group(task: Task, samples: list[Sample]) -> SampleGroup:
    damages = [group.damage for group in task.groups if group.damage is not None]
    if damages:
        return SampleGroup(samples, damages[0])
    for name in task.degradations:
        if name not in DEGRADATIONS:
            raise RecipeError(
                f"task {task.name!r} cannot be validated on data.validation, since {name!r} cannot be "
                "synthesised; give pairs of it as [[data.validation_sets]]"
            )
    return SampleGroup(samples, SyntheticDamage(task.degradations, (0.0, 1.0)))


def _spread(task: Task, count: int) -> list[tuple[SampleGroup, Sample]]:
    """Choose samples evenly: neighbours in a set often show one scene."""
    entries = [(group, sample) for group in task.groups for sample in group.samples]
    if count == 0 or count >= len(entries):
        return entries
    return [entries[index * len(entries) // count] for index in range(count)]
