"""Training batches of pairs that are in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polyrestore.data import Batch, Pair, mixed_seed
from polyrestore.data.images import random_patch
from polyrestore.data.task_source import reflected


@dataclass(frozen=True)
class PairSource:
    """Draws patches of pairs of one degradation.

    Attributes:
        name: of the degradation.
        pairs: what is drawn from, uint8 (3, H, W) each.
        batch_size: samples per batch.
        patch_px: side of the patches.
        seed: with the step and the process, decides everything.
        clean_share: how often a sample's damaged image is the clean one, so that the adapter learns to leave
            alone what is not wrong.
    """

    name: str
    pairs: Sequence[Pair]
    batch_size: int
    patch_px: int
    seed: int
    clean_share: float = 0.1

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
        degraded, clean = torch.stack(patches, 1)
        left = torch.rand(self.batch_size, generator=generator) < self.clean_share
        degraded[left] = clean[left]
        # The adapter acts on what is clean as well.
        present = torch.ones(self.batch_size, 1)
        return Batch(degraded, clean, torch.zeros(self.batch_size, dtype=torch.long), present)

    def _patches(self, pair: Pair, generator: Generator) -> Tensor:
        images = [reflected(image, self.patch_px) for image in (pair.degraded, pair.clean)]
        return random_patch(images, self.patch_px, 1.0, generator)
