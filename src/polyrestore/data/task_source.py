"""Training batches of several tasks, read from files when they are needed.

A batch depends on the seed, the step and the process alone, as those from memory do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from polyrestore.data.batch import Batch, mixed_seed
from polyrestore.data.images import random_patch
from polyrestore.data.samples import PixelCache
from polyrestore.data.sampling import Sampler, draw_tasks
from polyrestore.data.tasks import Task


@dataclass(frozen=True)
class TaskSource:
    """Draws batches from tasks whose samples are files.

    Attributes:
        task_list: the tasks, in the order of their indices.
        batch_size: samples per batch.
        patch_px: side of the patches.
        seed: with the step and the process, decides everything.
        sampler: how often each task comes.
        task_shares: for the sampler of that name, how often a task is drawn against the others; 1 where
            nothing is said.
        cache: the files that were read last.
    """

    task_list: tuple[Task, ...]
    batch_size: int
    patch_px: int
    seed: int
    sampler: Sampler = "balanced"
    task_shares: Mapping[str, float] = field(default_factory=dict)
    cache: PixelCache = field(default_factory=lambda: PixelCache(0))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks."""
        return tuple(task.name for task in self.task_list)

    @property
    def names(self) -> tuple[str, ...]:
        """The degradations that the tasks show, in the order of a batch's columns."""
        return tuple(dict.fromkeys(name for task in self.task_list for name in task.degradations))

    def drawing_shares(self) -> Tensor:
        """Return how often each task is drawn, (K,), not normalised."""
        if self.sampler == "proportional":
            return torch.tensor([task.weight for task in self.task_list])
        if self.sampler == "balanced":
            return torch.ones(len(self.task_list))
        return torch.tensor([self.task_shares.get(name, 1.0) for name in self.tasks])

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Return the batch of a step (and of a process, where several train together).

        Raises:
            ImageError: an image cannot be read.
            DataError: the two images of a pair differ in size.
        """
        generator = Generator().manual_seed(mixed_seed(self.seed, rank, step))
        drawn = draw_tasks(self.sampler, self.drawing_shares(), self.batch_size, step, rank, generator)
        return self.batch_of(drawn, generator)

    def batch_of(self, drawn: Tensor, generator: Generator) -> Batch:
        """Return a batch whose samples belong to given tasks, (B,) indices.

        Raises:
            ImageError: an image cannot be read.
            DataError: the two images of a pair differ in size.
        """
        names = self.names
        degraded, clean, presence = [], [], []
        for index in drawn.tolist():
            task = self.task_list[index]
            before, after = self._patches(task, generator)
            degraded.append(before)
            clean.append(after)
            presence.append(task.presence(names))
        return Batch(torch.stack(degraded), torch.stack(clean), drawn, torch.stack(presence))

    def _patches(self, task: Task, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return one damaged and one clean patch, (3, P, P) each."""
        group, sample = task.draw(generator)
        images = [reflected(image, self.patch_px) for image in self.cache.read_sample(sample)]
        patches = random_patch(images, self.patch_px, group.zoom_out, generator)
        if group.damage is None:
            return patches[0], patches[1]
        return group.damage(patches, generator)[0], patches[0]


def reflected(image: Tensor, side: int) -> Tensor:
    """Mirror an image (3, H, W) at its lower and right border until both sides have ``side`` pixels.

    Enlarging instead would change what the degradation looks like: the grain of noise, the width of streaks.
    """
    height, width = image.shape[1:]
    if height < side:
        image = image[:, _mirrored(height, side)]
    if width < side:
        image = image[:, :, _mirrored(width, side)]
    return image


def _mirrored(length: int, wanted: int) -> Tensor:
    """Return ``wanted`` indices that go to and fro between 0 and ``length - 1``."""
    period = max(1, 2 * (length - 1))
    index = torch.arange(wanted) % period
    return torch.where(index < length, index, period - index)
