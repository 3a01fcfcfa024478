"""Which task each sample of a batch belongs to."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Generator, Tensor

Sampler = Literal["task_shares", "balanced", "proportional"]


def draw_tasks(
    sampler: Sampler, shares: Tensor, count: int, step: int, rank: int, generator: Generator
) -> Tensor:
    """Return the task index of every sample of a batch, (B,).

    "balanced" deals the tasks out in turn, over batches too: every batch holds each task as often as the
    others, give or take one, and so do all batches together. The others draw each sample by itself.

    Args:
        sampler: how to draw.
        shares: (K,) how often each task is drawn, not normalised; not used by "balanced".
        count: samples in the batch, B.
        step: the batch's number.
        rank: the process's number.
        generator: source of all randomness.
    """
    if sampler == "balanced":
        return (torch.arange(count) + (step + rank) * count) % len(shares)
    return torch.multinomial(shares, count, replacement=True, generator=generator)
