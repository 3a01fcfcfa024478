"""Tasks of multi-task training: a name, the degradations to undo, and where samples come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from polyrestore.data.samples import Sample
from polyrestore.degradations import DEGRADATIONS, check_name, degrade
from polyrestore.errors import (
    DataError,
    UnknownDegradationError,
    unknown_name,
)


class Damage(Protocol):
    """Damages clean images (B, 3, H, W) in [0, 1]; the shape stays."""

    def __call__(self, clean: Tensor, generator: Generator) -> Tensor:
        """Return the damaged images."""


@dataclass(frozen=True)
class SyntheticDamage:
    """The package's own degradations.

    Attributes:
        degradations: which of them act, together.
        severity: range that each image's severities are drawn from.

    Raises:
        UnknownNameError: one of them has no function.
    """

    degradations: tuple[str, ...]
    severity: tuple[float, float]

    def __post_init__(self) -> None:
        for name in self.degradations:
            if name not in DEGRADATIONS:
                raise unknown_name("degradation", name, DEGRADATIONS, UnknownDegradationError)

    def __call__(self, clean: Tensor, generator: Generator) -> Tensor:
        """Return damaged images (B, 3, H, W), in steps of 1/255."""
        low, high = self.severity
        severities = low + (high - low) * torch.rand(len(self.degradations), generator=generator)
        return degrade(clean, dict(zip(self.degradations, severities.tolist(), strict=True)), generator)


@dataclass(frozen=True)
class FixedNoise:
    """Gaussian noise of one strength, as in the published three and five task comparisons.

    Li et al. (AirNet, CVPR 2022) and Potlapalli et al. (PromptIR, NeurIPS 2023, arXiv 2306.13090) add the
    noise to 8-bit values, clip, and cut off what is behind the point instead of rounding it.

    Attributes:
        sigma_255: standard deviation on the scale of 8-bit values.
    """

    sigma_255: float

    def __call__(self, clean: Tensor, generator: Generator) -> Tensor:
        """Return noisy images (B, 3, H, W), in steps of 1/255."""
        noise = torch.randn(clean.shape, generator=generator) * self.sigma_255
        return (clean * 255 + noise).clamp(0, 255).floor() / 255


@dataclass(frozen=True)
class SampleGroup:
    """Samples of one task that are made in one way.

    Attributes:
        samples: where they lie.
        damage: what to do to clean photographs; None for pairs.
        share: how much one of these samples counts against one of another group.
        zoom_out: see :func:`polyrestore.data.images.random_patch`.
    """

    samples: Sequence[Sample]
    damage: Damage | None = None
    share: float = 1.0
    zoom_out: float = 1.0

    @property
    def weight(self) -> float:
        """How much all of the group's samples count together."""
        return len(self.samples) * self.share


@dataclass(frozen=True)
class Task:
    """Something to undo, with samples of it.

    Attributes:
        name: chosen freely.
        degradations: what acts together; it needs no function where the samples are pairs.
        groups: where samples come from.

    Raises:
        DataError: there are no samples.
        DegradationError: one of the names cannot be that of a degradation.
    """

    name: str
    degradations: tuple[str, ...]
    groups: tuple[SampleGroup, ...]

    def __post_init__(self) -> None:
        for name in self.degradations:
            check_name(name)
        if not any(group.samples for group in self.groups):
            raise DataError(f"task {self.name!r} has no samples")

    @property
    def weight(self) -> float:
        """The number of samples, each as often as its group's share says."""
        return sum(group.weight for group in self.groups)

    def draw(self, generator: Generator) -> tuple[SampleGroup, Sample]:
        """Draw one sample, and return the group that it belongs to beside it."""
        choice, place = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        left = choice * self.weight
        filled = [group for group in self.groups if group.samples]
        chosen = filled[-1]
        for group in filled:
            if left < group.weight:
                chosen = group
                break
            left -= group.weight
        return chosen, chosen.samples[int(place * len(chosen.samples))]

    def presence(self, names: Sequence[str]) -> Tensor:
        """Return (N,) in the order of N names of degradations: 1 where the task shows one of them."""
        return torch.tensor([float(name in self.degradations) for name in names])
