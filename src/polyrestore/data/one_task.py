"""Batches whose samples all show the same, as adapters need them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, Literal, Protocol, TypeVar

import torch
from torch import Generator, Tensor

from polyrestore.data.batch import Batch, Source, mixed_seed
from polyrestore.data.sampling import Sampler, draw_tasks
from polyrestore.data.synthesis import BatchSource
from polyrestore.data.task_source import TaskSource
from polyrestore.degradations import DEGRADATIONS

MixtureWeights = Literal["mean", "full"]


class _DrawnSource(Source, Protocol):
    """A source that draws tasks by a sampler."""

    @property
    def seed(self) -> int:
        """With the step, decides everything."""

    @property
    def sampler(self) -> Sampler:
        """How often each task comes."""


DrawnSource = TypeVar("DrawnSource", bound=_DrawnSource)


@dataclass(frozen=True)
class OneTaskAtATime(Generic[DrawnSource]):
    """Batches whose samples all belong to one task, drawn anew for each batch, for all processes alike.

    Attributes:
        source: where the images come from, and how often each task comes.
    """

    source: DrawnSource

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks."""
        return self.source.tasks

    @property
    def names(self) -> tuple[str, ...]:
        """The degradations that the tasks show, in the order of a batch's columns."""
        return self.source.names

    def drawing_shares(self) -> Tensor:
        """Return how often each task is drawn, (K,), not normalised."""
        return self.source.drawing_shares()

    def task_of(self, step: int) -> tuple[int, Generator]:
        """Return the index of a step's task, and the generator for whatever else all processes share."""
        generator = Generator().manual_seed(mixed_seed(self.source.seed, step))
        drawn = draw_tasks(self.source.sampler, self.drawing_shares(), 1, step, 0, generator)
        return int(drawn), generator


@dataclass(frozen=True)
class OneCompositionSource(OneTaskAtATime[BatchSource]):
    """Batches whose samples all show the same: one degradation, or a mixture of two or three.

    The source's synthesis says with ``mixture_share`` how often a second degradation joins the first, and a
    third the second; common tasks join more often.

    Attributes:
        source: where the images come from.
        weights: how the adapters of a mixture act. "mean": alike, with a sum of 1. "full": the first one at
            weight 1, the others between 0.5 and 1, so that they get used to being weighed.
        bystander_share: how often the adapter of a degradation that is not there acts as well, at a weight
            between 0 and 1, so that it learns to do no harm.
    """

    weights: MixtureWeights = "mean"
    bystander_share: float = 0.0

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Return the batch of a step; all processes see the same degradations."""
        source, synthesis = self.source, self.source.synthesis
        index, generator = self.task_of(step)
        tasks, names = synthesis.tasks, self.names
        # Where the first one has no function, its pairs are all that there is.
        shares = self.drawing_shares() * (synthesis.joining_shares() > 0) * (tasks[index] in DEGRADATIONS)
        joins = (torch.rand(2, generator=generator) < synthesis.mixture_share).tolist()
        present = [index]
        for join in joins[: 1 + joins[0]]:
            shares[present[-1]] = 0
            if join and bool(shares.any()):
                present.append(int(torch.multinomial(shares, 1, generator=generator)))
        acting = torch.zeros(len(names))
        strengths = 0.5 + 0.5 * torch.rand(len(present), generator=generator)
        strengths[0] = 1
        acting[present] = strengths if self.weights == "full" else 1 / len(present)
        absent = [position for position in range(len(tasks)) if position not in present]
        draw, place, strength = torch.rand(3, generator=generator).tolist()
        if absent and draw < self.bystander_share:
            acting[absent[int(place * len(absent))]] = strength
        partners = tuple(tasks[each] for each in present[1:])
        only = replace(
            synthesis, tasks=(tasks[index],), partners=partners, mixture_share=0.0, region_share=0.0
        )
        pairs = {} if partners else source.pairs
        shown = replace(source, synthesis=only, pairs=pairs)
        batch = shown.batch(step, rank)
        presence = torch.zeros(len(batch.task), len(names))
        presence[:, [names.index(name) for name in shown.names]] = batch.presence
        return replace(
            batch,
            task=torch.where(batch.task < 0, batch.task, index),
            presence=presence,
            acting=acting.expand(len(batch.task), -1),
        )


@dataclass(frozen=True)
class OneTaskSource(OneTaskAtATime[TaskSource]):
    """Batches of one task each, as adapters need them."""

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Return the batch of a step; all processes see the same task."""
        index, _ = self.task_of(step)
        generator = Generator().manual_seed(mixed_seed(self.source.seed, rank, step))
        return self.source.batch_of(torch.full((self.source.batch_size,), index), generator)
