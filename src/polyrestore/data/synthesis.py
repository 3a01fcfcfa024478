"""Training batches: clean patches, their damaged versions, and which task each sample belongs to.

A batch depends on the seed and the step alone, so a resumed run sees what an uninterrupted one would have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Generic, Literal, Protocol, TypeVar

import torch
from torch import Generator, Tensor

from polyrestore.data.augmentation import vary_light
from polyrestore.data.images import Pair, random_patch
from polyrestore.data.sampling import Sampler, draw_tasks
from polyrestore.degradations import DEGRADATIONS, degrade_batch, mix_regions

MixtureWeights = Literal["mean", "full"]


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        degraded: (B, 3, P, P) in [0, 1].
        clean: (B, 3, P, P) in [0, 1].
        task: (B,) index into the tasks, -1 for samples that were left clean.
        presence: (B, N) share of each degradation in the sample, in the order of ``DEGRADATIONS``.
        other_crop: (B, 3, P, P) another part of each damaged image, for training by contrast only.
        acting: (B, N) weight of each degradation's adapter in the training of adapters, in the order of
            ``DEGRADATIONS``; None where the shares in ``presence`` tell all.
        time: (B,) where each sample is on the path from noise to image, for generative training only.
    """

    degraded: Tensor
    clean: Tensor
    task: Tensor
    presence: Tensor
    other_crop: Tensor | None = None
    acting: Tensor | None = None
    time: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        tensors = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{k: tensor.to(device) for k, tensor in tensors.items() if tensor is not None})


class Source(Protocol):
    """Where training batches come from."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks, in the order of their indices."""

    def drawing_shares(self) -> Tensor:
        """Return how often each task is drawn, (K,), not normalised."""

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Return the batch of a step and of a process; nothing else may decide what is in it."""


@dataclass(frozen=True)
class Synthesis:
    """How samples are damaged.

    Attributes:
        tasks: the degradations to draw the first one from.
        mixture_share: probability of a second degradation, and of a third once there is a second; those with
            a larger task share join more often.
        region_share: probability that two regions of a sample are damaged differently.
        clean_share: probability of leaving a sample clean.
        severity: range of the severities.
        partners: degradations that join the first one in every sample.
        task_shares: how often a task is drawn compared with the others; 1 where nothing is said.
    """

    tasks: tuple[str, ...] = tuple(DEGRADATIONS)
    mixture_share: float = 0.35
    region_share: float = 0.1
    clean_share: float = 0.0
    severity: tuple[float, float] = (0.02, 1.0)
    partners: tuple[str, ...] = ()
    task_shares: Mapping[str, float] = field(default_factory=dict)

    def drawing_shares(self) -> Tensor:
        """Return how often each task is drawn, (K,), not normalised."""
        return torch.tensor([self.task_shares.get(name, 1.0) for name in self.tasks])


def mixed_seed(*parts: int | str) -> int:
    """Hash numbers and names into a seed of 32 bits: torch's generator on a CPU ignores all higher ones."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


@dataclass
class BatchSource:
    """Draws batches from images in memory.

    Attributes:
        clean_images: uint8 (3, H, W) each.
        synthesis: how to damage them.
        batch_size: samples per batch.
        patch_px: side of the patches.
        zoom_out: see :func:`polyrestore.data.images.random_patch`.
        zoom_in: likewise, for the clean images, not for pairs.
        seed: with the step, decides everything.
        pairs: real pairs by task name; they replace synthetic samples of that task.
        pair_share: probability of the replacement.
        vary_light: share of the clean patches that :func:`polyrestore.data.augmentation.vary_light` changes.
        sampler: how often each task comes; "proportional" counts a task's own pairs beside the clean images.
    """

    clean_images: Sequence[Tensor]
    synthesis: Synthesis
    batch_size: int
    patch_px: int
    zoom_out: float
    seed: int
    pairs: dict[str, list[Pair]] = field(default_factory=dict)
    pair_share: float = 0.5
    vary_light: float = 0.0
    sampler: Sampler = "task_shares"
    zoom_in: float = 1.0

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks."""
        return self.synthesis.tasks

    def drawing_shares(self) -> Tensor:
        """Return how often each task is drawn, (K,), not normalised."""
        if self.sampler == "task_shares":
            return self.synthesis.drawing_shares()
        own = [len(self.pairs.get(name, ())) for name in self.tasks]
        if self.sampler == "balanced":
            return torch.ones(len(own))
        return torch.tensor([float(len(self.clean_images) + count) for count in own])

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Return the batch of a step (and of a process, where several train together)."""
        generator = Generator().manual_seed(mixed_seed(self.seed, rank, step))
        indices = torch.randint(len(self.clean_images), (self.batch_size,), generator=generator).tolist()
        patches = [
            random_patch([self.clean_images[index]], self.patch_px, self.zoom_out, generator, self.zoom_in)
            for index in indices
        ]
        clean = torch.cat(patches)
        if self.vary_light:
            clean = vary_light(clean, self.vary_light, generator)
        severities, task = self._draw(step, rank, generator)
        degraded = degrade_batch(clean, severities, generator)
        presence = (~severities.isnan()).float()
        mixed = (torch.rand(self.batch_size, generator=generator) < self.synthesis.region_share).nonzero()
        if mixed.numel():
            rows = mixed.flatten()
            other, _ = self._draw(step, rank, generator)
            second = degrade_batch(clean[rows], other[rows], generator)
            degraded[rows] = mix_regions(degraded[rows], second, generator)
            presence[rows] = torch.maximum(presence[rows], (~other[rows].isnan()).float())
        self._place_pairs(degraded, clean, task, presence, generator)
        return Batch(degraded, clean, task, presence)

    def _draw(self, step: int, rank: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draw severities (B, N) with NaN where absent, and the task of each sample (B,)."""
        names, synthesis, count = list(DEGRADATIONS), self.synthesis, self.batch_size
        task = draw_tasks(self.sampler, self.drawing_shares(), count, step, rank, generator)
        columns = torch.tensor([names.index(name) for name in synthesis.tasks])
        low, high = synthesis.severity
        drawn = low + (high - low) * torch.rand((count, len(names)), generator=generator)
        chosen = torch.zeros((count, len(names)), dtype=torch.bool)
        rows = torch.arange(count)
        chosen[rows, columns[task]] = True
        partner_shares = synthesis.drawing_shares()
        extra = torch.rand((count, 2), generator=generator) < synthesis.mixture_share
        extra[:, 1] &= extra[:, 0]
        for position in range(2):
            partner = torch.multinomial(partner_shares, count, replacement=True, generator=generator)
            chosen[rows, columns[partner]] |= extra[:, position]
        chosen[:, [names.index(name) for name in synthesis.partners]] = True
        # Several full-strength degradations leave nothing to see.
        several = chosen.sum(1, keepdim=True) > 1
        milder = torch.where(several, 0.5 + 0.5 * torch.rand((count, 1), generator=generator), 1.0)
        untouched = torch.rand(count, generator=generator) < synthesis.clean_share
        chosen[untouched] = False
        task = torch.where(untouched, torch.full_like(task, -1), task)
        return torch.where(chosen, drawn * milder, torch.full_like(drawn, float("nan"))), task

    def _place_pairs(
        self, degraded: Tensor, clean: Tensor, task: Tensor, presence: Tensor, generator: Generator
    ) -> None:
        draws = torch.rand(len(task), generator=generator).tolist()
        for position, (index, draw) in enumerate(zip(task.tolist(), draws, strict=True)):
            name = self.synthesis.tasks[index] if index >= 0 else ""
            if name not in self.pairs or draw >= self.pair_share:
                continue
            pairs = self.pairs[name]
            pair = pairs[int(torch.randint(len(pairs), (), generator=generator))]
            patch = random_patch([pair.degraded, pair.clean], self.patch_px, self.zoom_out, generator)
            degraded[position], clean[position] = patch[0], patch[1]
            presence[position] = 0
            presence[position, list(DEGRADATIONS).index(name)] = 1


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
        tasks, shares = synthesis.tasks, self.drawing_shares().clone()
        joins = (torch.rand(2, generator=generator) < synthesis.mixture_share).tolist()
        present = [index]
        for join in joins[: 1 + joins[0]]:
            shares[present[-1]] = 0
            if join and bool(shares.any()):
                present.append(int(torch.multinomial(shares, 1, generator=generator)))
        acting = torch.zeros(len(DEGRADATIONS))
        columns = [list(DEGRADATIONS).index(tasks[each]) for each in present]
        strengths = 0.5 + 0.5 * torch.rand(len(present), generator=generator)
        strengths[0] = 1
        acting[columns] = strengths if self.weights == "full" else 1 / len(present)
        absent = [position for position in range(len(tasks)) if position not in present]
        draw, place, strength = torch.rand(3, generator=generator).tolist()
        if absent and draw < self.bystander_share:
            acting[list(DEGRADATIONS).index(tasks[absent[int(place * len(absent))]])] = strength
        partners = tuple(tasks[each] for each in present[1:])
        only = replace(
            synthesis, tasks=(tasks[index],), partners=partners, mixture_share=0.0, region_share=0.0
        )
        pairs = {} if partners else source.pairs
        batch = replace(source, synthesis=only, pairs=pairs).batch(step, rank)
        return replace(
            batch,
            task=torch.where(batch.task < 0, batch.task, index),
            acting=acting.expand(len(batch.task), -1),
        )
