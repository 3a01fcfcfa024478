"""What a training batch is, and what gives one for every step."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        degraded: (B, 3, P, P) in [0, 1].
        clean: (B, 3, P, P) in [0, 1].
        task: (B,) index into the tasks, -1 for samples that were left clean.
        presence: (B, N) share of each degradation in the sample, in the order of the source's ``names``.
        other_crop: (B, 3, P, P) another part of each damaged image, for training by contrast only.
        acting: (B, N) weight of each degradation's adapter in the training of adapters, in the same order;
            None where the shares in ``presence`` tell all.
        time: (B,) how far each sample is on the path from noise, 0, to image, 1; in generative training.
        state: (B, 3, P, P) what each sample is there: noise of unit variance at 0, the image in [-1, 1] at 1.
    """

    degraded: Tensor
    clean: Tensor
    task: Tensor
    presence: Tensor
    other_crop: Tensor | None = None
    acting: Tensor | None = None
    time: Tensor | None = None
    state: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        tensors = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{k: tensor.to(device) for k, tensor in tensors.items() if tensor is not None})


class Source(Protocol):
    """Where training batches come from."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks, in the order of their indices."""

    @property
    def names(self) -> tuple[str, ...]:
        """The N degradations that its tasks show, in the order of a batch's columns."""

    def drawing_shares(self) -> Tensor:
        """Return how often each task is drawn, (K,), not normalised."""

    def batch(self, step: int, rank: int = 0) -> Batch:
        """Return the batch of a step and of a process; nothing else may decide what is in it."""


def mixed_seed(*parts: int | str) -> int:
    """Hash numbers and names into a seed of 32 bits: torch's generator on a CPU ignores all higher ones."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
