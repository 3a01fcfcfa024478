"""Dynamic weight average (Liu et al., "End-to-End Multi-Task Learning with Attention", CVPR 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from polyrestore.training.weighting.base import POSITIVE, Weighting, present_softmax


class DynamicWeightAverage(Weighting):
    """Weight the tasks whose loss falls slowly.

    With the mean losses of the two last windows of steps, A_k (the older one) and B_k::

        r_k = B_k / A_k,   w = softmax(r / T)

    over the tasks that are present; the first two windows weigh all tasks alike. The paper takes an epoch
    for a window; endless synthetic data have none, so it is a number of steps here.

    Args:
        task_count: number of tasks K.
        temperature: T; 2 in the paper.
        window_steps: steps per window.
    """

    remembered = ("sums", "counts", "older", "newer", "step")
    bounds = {"temperature": POSITIVE, "window_steps": (1, 10**9)}

    def __init__(self, task_count: int, temperature: float = 2.0, window_steps: float = 200) -> None:
        super().__init__(task_count)
        self.temperature = temperature
        self.window_steps = int(window_steps)
        self.sums, self.counts = torch.zeros(task_count), torch.zeros(task_count)
        self.older, self.newer = torch.zeros(task_count), torch.zeros(task_count)
        self.step = torch.zeros((), dtype=torch.int64)

    def weights(self, losses: Tensor, present: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Return the softmax weights (K,), then take the losses (K,) into the window."""
        losses, present = losses.detach().float().cpu(), present.cpu()
        known = (self.older > 0) & (self.newer > 0)
        ratio = torch.where(known, self.newer / self.older.clamp(min=1e-12), 1.0)
        weights = present_softmax(ratio / self.temperature, present)
        self.sums += torch.where(present, losses, 0.0)
        self.counts += present.float()
        self.step += 1
        if int(self.step) % self.window_steps == 0:
            seen = self.counts > 0
            mean = self.sums / self.counts.clamp(min=1)
            self.older = torch.where(seen, self.newer, self.older)
            self.newer = torch.where(seen, mean, self.newer)
            self.sums, self.counts = torch.zeros_like(self.sums), torch.zeros_like(self.counts)
        return weights
