"""Training batches of pairs that are in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polyrestore.data import Batch, Pair, mixed_seed
from polyrestore.data.images import random_patch
from polyrestore.data.task_source import reflected
from polyrestore.degradations import degrade


@dataclass(frozen=True)
class PairSource:
    """Draws patches of pairs of one degradation.

    Attributes:
        name: of the degradation.
        pairs: what is drawn from, uint8 (3, H, W) each.
        batch_size: samples per batch.
        patch_px: side of the patches.
        seed: with the step and the process, decides everything.
        bystanders: degradations that are not its work.
        idle_share: how often a sample shows what the adapter is to leave as it is, so that it does little
            harm where it is called for by mistake: half of them a clean patch, half one with a bystander.
    """

    name: str
    pairs: Sequence[Pair]
    batch_size: int
    patch_px: int
    seed: int
    bystanders: tuple[str, ...] = ()
    idle_share: float = 0.2

    @property
    def tasks(self) -> tuple[str, ...]:
        """The only task."""
        return (self.name,)

    @property
    def names(self) -> tuple[str, ...]:
        """The degradation that it shows."""
        return (self.name,)

    def drawing_shares(self) -> Tensor:
        """Return how often each task is drawn, (1,)."""
        return torch.ones(1)

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Return the batch of a step and of a process."""
        generator = Generator().manual_seed(mixed_seed(self.seed, rank, step))
        indices = torch.randint(len(self.pairs), (self.batch_size,), generator=generator).tolist()
        patches = [self._patches(self.pairs[index], generator) for index in indices]
        degraded, clean = torch.stack(patches, 1).unbind()
        for index, draw in enumerate(torch.rand(self.batch_size, generator=generator).tolist()):
            if draw < self.idle_share:
                left = clean[index] if draw < self.idle_share / 2 else self._spoil(clean[index], generator)
                degraded[index] = clean[index] = left
        # The adapter acts on what it is to leave alone as well.
        present = torch.ones(self.batch_size, 1)
        return Batch(degraded, clean, torch.zeros(self.batch_size, dtype=torch.long), present)

    def _patches(self, pair: Pair, generator: Generator) -> Tensor:
        images = [reflected(image, self.patch_px) for image in (pair.degraded, pair.clean)]
        return random_patch(images, self.patch_px, 1.0, generator)

    def _spoil(self, patch: Tensor, generator: Generator) -> Tensor:
        """Return a clean patch (3, P, P) with one of the bystanders."""
        if not self.bystanders:
            return patch
        place, severity = torch.rand(2, generator=generator).tolist()
        name = self.bystanders[int(place * len(self.bystanders))]
        return degrade(patch[None], {name: severity}, generator)[0]
