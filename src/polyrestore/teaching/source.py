"""Training batches of pairs that are in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polyrestore.data import Batch, Pair, mixed_seed
from polyrestore.data.images import random_patch
from polyrestore.data.task_source import reflected
from polyrestore.degradations import degrade_batch


@dataclass(frozen=True)
class PairSource:
    """Draws patches of pairs of one degradation.

    Attributes:
        name: of the degradation.
        pairs: what is drawn from, uint8 (3, H, W) each.
        batch_size: samples per batch.
        patch_px: side of the patches.
        seed: with the step and the process, decides everything.
        bystanders: degradations that are the work of other adapters.
        idle_share: how often a sample is clean and to be left as it is, so that the adapter does little harm
            where it is called for by mistake.
        beside_share: how often a batch shows a bystander as well, or instead: its adapter acts beside the new
            one, which must not disturb it.
        weight: with which the adapters act when there are two of them.
    """

    name: str
    pairs: Sequence[Pair]
    batch_size: int
    patch_px: int
    seed: int
    bystanders: tuple[str, ...] = ()
    idle_share: float = 0.1
    beside_share: float = 0.25
    weight: float = 1.0

    @property
    def tasks(self) -> tuple[str, ...]:
        """The only task."""
        return (self.name,)

    @property
    def names(self) -> tuple[str, ...]:
        """The degradations that it shows, in the order of a batch's columns."""
        return (self.name, *self.bystanders)

    def drawing_shares(self) -> Tensor:
        """Return how often each task is drawn, (1,)."""
        return torch.ones(1)

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Return the batch of a step and of a process."""
        generator = Generator().manual_seed(mixed_seed(self.seed, rank, step))
        indices = torch.randint(len(self.pairs), (self.batch_size,), generator=generator).tolist()
        patches = [self._patches(self.pairs[index], generator) for index in indices]
        degraded, clean = torch.stack(patches, 1).unbind()
        idle = torch.rand(self.batch_size, generator=generator) < self.idle_share
        beside = self._bystander(step)
        if beside:
            # In half of the samples there is the bystander alone.
            idle = torch.rand(self.batch_size, generator=generator) < 0.5
        degraded[idle] = clean[idle]
        acting = torch.zeros(self.batch_size, len(self.names))
        # The adapter acts on what it is to leave alone as well.
        acting[:, 0] = self.weight if beside else 1.0
        if beside:
            acting[:, self.names.index(beside)] = self.weight
            severities = torch.rand((self.batch_size, 1), generator=generator)
            degraded = degrade_batch(degraded, severities, (beside,), generator)
        task = torch.zeros(self.batch_size, dtype=torch.long)
        return Batch(degraded, clean, task, (acting > 0).float(), acting=acting)

    def _bystander(self, step: int) -> str:
        """Return what else a step's batch shows, in all processes; empty for nothing."""
        generator = Generator().manual_seed(mixed_seed(self.seed, "beside", step))
        draw, place = torch.rand(2, generator=generator).tolist()
        if not self.bystanders or draw >= self.beside_share:
            return ""
        return self.bystanders[int(place * len(self.bystanders))]

    def _patches(self, pair: Pair, generator: Generator) -> Tensor:
        images = [reflected(image, self.patch_px) for image in (pair.degraded, pair.clean)]
        return random_patch(images, self.patch_px, 1.0, generator)
