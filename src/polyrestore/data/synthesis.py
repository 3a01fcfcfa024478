"""Training batches: clean patches, their damaged versions, and which task each sample belongs to.

A batch depends on the seed and the step alone, so a resumed run sees what an uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from polyrestore.data.augmentation import add_stars, squeeze_range, vary_exposure, vary_light
from polyrestore.data.batch import Batch, mixed_seed
from polyrestore.data.images import Pair, random_patch
from polyrestore.data.sampling import Sampler, draw_tasks
from polyrestore.degradations import DEGRADATIONS, degrade_batch, mix_regions
from polyrestore.degradations.jpeg import store
from polyrestore.errors import DataError


@dataclass(frozen=True)
class Synthesis:
    """How samples are damaged.

    Attributes:
        tasks: the degradations to draw the first one from. One that is not in ``DEGRADATIONS`` has no
            function: its samples are all pairs, and it takes no part in mixtures.
        mixture_share: probability of a second degradation, and of a third once there is a second; those with
            a larger task share join more often.
        region_share: probability that two regions of a sample are damaged differently.
        clean_share: probability of leaving a sample clean.
        severity: range of the severities.
        partners: degradations that join the first one in every sample; all of them have functions.
        task_shares: how often a task is drawn compared with the others; 1 where nothing is said.

    Raises:
        DataError: a task is named twice.
    """

    tasks: tuple[str, ...] = field(default_factory=lambda: tuple(DEGRADATIONS))
    mixture_share: float = 0.35
    region_share: float = 0.1
    clean_share: float = 0.0
    severity: tuple[float, float] = (0.02, 1.0)
    partners: tuple[str, ...] = ()
    task_shares: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.tasks:
            if self.tasks.count(name) > 1:
                raise DataError(f"task {name!r} is named twice; name it once, and give it a larger share")

    @property
    def names(self) -> tuple[str, ...]:
        """The degradations that may be there: the tasks in their order, then the other partners."""
        return tuple(dict.fromkeys((*self.tasks, *self.partners)))

    def drawing_shares(self) -> Tensor:
        """Return how often each task is drawn, (K,), not normalised."""
        return torch.tensor([self.task_shares.get(name, 1.0) for name in self.tasks])

    def joining_shares(self) -> Tensor:
        """Return how often each task joins another in a mixture, (K,), not normalised."""
        return self.drawing_shares() * torch.tensor([float(name in DEGRADATIONS) for name in self.tasks])


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
        pair_share: probability of the replacement; of a task without a function it is 1.
        pair_stops: inputs of pairs for ``low_light`` are exposed up to so many stops more or less.
        vary_light: share of the clean patches that :func:`polyrestore.data.augmentation.vary_light` changes.
        stars: share of the clean patches that get stars.
        stored: share of the clean patches, and of the damaged ones that are not ``jpeg`` anyway, that were
            stored as cameras and sites do it, as JPEG of a quality of 85 to 96.
        narrow: share of the samples with noise alone, or with nothing, that use a part of the range only.
        sampler: how often each task comes; "proportional" counts a task's own pairs beside the clean images.

    Raises:
        DataError: a task has neither a function nor pairs.
    """

    clean_images: Sequence[Tensor]
    synthesis: Synthesis
    batch_size: int
    patch_px: int
    zoom_out: float
    seed: int
    pairs: dict[str, list[Pair]] = field(default_factory=dict)
    pair_share: float = 0.5
    pair_stops: float = 0.0
    vary_light: float = 0.0
    stars: float = 0.0
    stored: float = 0.0
    narrow: float = 0.0
    sampler: Sampler = "task_shares"
    zoom_in: float = 1.0

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in DEGRADATIONS and not self.pairs.get(name):
                raise DataError(f"degradation {name!r} cannot be synthesised and has no pairs; give some")

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks."""
        return self.synthesis.tasks

    @property
    def names(self) -> tuple[str, ...]:
        """The degradations of the tasks and their partners, in the order of a batch's columns."""
        return self.synthesis.names

    def drawing_shares(self) -> Tensor:
        """Return how often each task is drawn, (K,), not normalised."""
        if self.sampler == "task_shares":
            return self.synthesis.drawing_shares()
        if self.sampler == "balanced":
            return torch.ones(len(self.tasks))
        synthetic = {name: len(self.clean_images) for name in DEGRADATIONS}
        counts = [synthetic.get(name, 0) + len(self.pairs.get(name, ())) for name in self.tasks]
        return torch.tensor(counts, dtype=torch.float32)

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
        if self.stars:
            clean = add_stars(clean, self.stars, generator)
        if self.stored:
            clean = store(clean, self.stored, generator)
        severities, task = self._draw(step, rank, generator)
        degraded = degrade_batch(clean, severities, self.names, generator)
        presence = (~severities.isnan()).float()
        mixed = (torch.rand(self.batch_size, generator=generator) < self.synthesis.region_share).nonzero()
        if mixed.numel():
            rows = mixed.flatten()
            other, _ = self._draw(step, rank, generator)
            second = degrade_batch(clean[rows], other[rows], self.names, generator)
            degraded[rows] = mix_regions(degraded[rows], second, generator)
            presence[rows] = torch.maximum(presence[rows], (~other[rows].isnan()).float())
        self._vary_files(degraded, clean, presence, generator)
        self._place_pairs(degraded, clean, task, presence, generator)
        return Batch(degraded, clean, task, presence)

    def _draw(self, step: int, rank: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draw severities (B, N) with NaN where absent, and the task of each sample (B,)."""
        names, synthesis, count = self.names, self.synthesis, self.batch_size
        task = draw_tasks(self.sampler, self.drawing_shares(), count, step, rank, generator)
        low, high = synthesis.severity
        drawn = low + (high - low) * torch.rand((count, len(names)), generator=generator)
        chosen = torch.zeros((count, len(names)), dtype=torch.bool)
        rows = torch.arange(count)
        chosen[rows, task] = True
        joining = synthesis.joining_shares()
        extra = torch.rand((count, 2), generator=generator) < synthesis.mixture_share
        extra[:, 1] &= extra[:, 0]
        for position in range(2 if bool(joining.any()) else 0):
            partner = torch.multinomial(joining, count, replacement=True, generator=generator)
            chosen[rows, partner] |= extra[:, position]
        chosen[:, [names.index(name) for name in synthesis.partners]] = True
        chosen[:, [index for index, name in enumerate(names) if name not in DEGRADATIONS]] = False
        # Several full-strength degradations leave nothing to see.
        several = chosen.sum(1, keepdim=True) > 1
        milder = torch.where(several, 0.5 + 0.5 * torch.rand((count, 1), generator=generator), 1.0)
        untouched = torch.rand(count, generator=generator) < synthesis.clean_share
        chosen[untouched] = False
        task = torch.where(untouched, torch.full_like(task, -1), task)
        return torch.where(chosen, drawn * milder, torch.full_like(drawn, float("nan"))), task

    def _vary_files(self, degraded: Tensor, clean: Tensor, presence: Tensor, generator: Generator) -> None:
        """Store samples as files are stored, and let some use a part of the range only."""
        names = self.names
        if self.stored:
            compressed = presence[:, [index for index, name in enumerate(names) if name == "jpeg"]].sum(1)
            rows = ((presence.sum(1) > 0) & (compressed == 0)).nonzero().flatten()
            degraded[rows] = store(degraded[rows], self.stored, generator)
        if self.narrow:
            others = [index for index, name in enumerate(names) if name != "noise"]
            rows = (presence[:, others].sum(1) == 0).nonzero().flatten()
            degraded[rows], clean[rows] = squeeze_range(degraded[rows], clean[rows], self.narrow, generator)

    def _place_pairs(
        self, degraded: Tensor, clean: Tensor, task: Tensor, presence: Tensor, generator: Generator
    ) -> None:
        draws = torch.rand(len(task), generator=generator).tolist()
        for position, (index, draw) in enumerate(zip(task.tolist(), draws, strict=True)):
            name = self.synthesis.tasks[index] if index >= 0 else ""
            share = self.pair_share if name in DEGRADATIONS else 1.0
            if name not in self.pairs or draw >= share:
                continue
            pairs = self.pairs[name]
            pair = pairs[int(torch.randint(len(pairs), (), generator=generator))]
            patch = random_patch([pair.degraded, pair.clean], self.patch_px, self.zoom_out, generator)
            if self.pair_stops and name == "low_light":
                patch[:1] = vary_exposure(patch[:1], self.pair_stops, generator)
            degraded[position], clean[position] = patch[0], patch[1]
            presence[position] = 0
            presence[position, index] = 1
