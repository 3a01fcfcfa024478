"""Gradient normalisation (Chen et al., "GradNorm", ICML 2018, arXiv 1711.02257)."""

from __future__ import annotations

import torch
from torch import Tensor

from polyrestore.training.weighting.base import POSITIVE, Evidence, Weighting

SMALLEST_WEIGHT = 0.01
LOSSES_AT_THE_START = 10


class GradNorm(Weighting):
    """Learn weights under which the tasks' gradients are of one size, larger for those that learn slowly.

    With the norm g_k of the gradient of w_k L_k in the last shared layer, its mean over the tasks G, and the
    inverse training rate r_k = (L_k / L_k(0)) / mean of these over the tasks, the weights descend
    ``sum_k |g_k - G r_k^alpha|`` with the targets held fixed, and are scaled to their old sum. The paper's
    gradients are divided by G here, so that the learning rate does not depend on the network's scale, and
    L_k(0) is a task's mean over its first ten steps, since that of one mini-batch is noisy.

    Args:
        task_count: number of tasks K.
        alpha: how strongly slow tasks are pulled along; 1.5 in the paper's larger experiment.
        learning_rate: of the weights; 0.025 in the paper.
    """

    evidence = Evidence.SHARED_LAYER
    remembered = ("shares", "initial_sums", "initial_counts")
    bounds = {"alpha": (0, 100), "learning_rate": POSITIVE}

    def __init__(self, task_count: int, alpha: float = 1.5, learning_rate: float = 0.025) -> None:
        super().__init__(task_count)
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.shares = torch.ones(task_count)
        self.initial_sums, self.initial_counts = torch.zeros(task_count), torch.zeros(task_count)

    def weights(self, losses: Tensor, present: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Return the learned weights of the present tasks, then learn from the norms in ``evidence``."""
        assert evidence is not None
        weights = self.shares * present
        weights = weights / weights.sum().clamp(min=1e-12)
        self._learn(losses, present, evidence.diagonal().clamp(min=0).sqrt())
        return weights

    def _learn(self, losses: Tensor, present: Tensor, norms: Tensor) -> None:
        starting = present & (self.initial_counts < LOSSES_AT_THE_START)
        self.initial_sums += torch.where(starting, losses, 0.0)
        self.initial_counts += starting
        if not present.any():
            return
        initial = self.initial_sums / self.initial_counts.clamp(min=1)
        ratio = torch.where(present, losses / initial.clamp(min=1e-12), 0.0)
        count = present.sum()
        rate = ratio / (ratio.sum() / count).clamp(min=1e-12)
        sizes = self.shares * norms * present
        mean = (sizes.sum() / count).clamp(min=1e-12)
        slope = torch.sign(sizes / mean - rate**self.alpha) * norms / mean
        learned = (self.shares - self.learning_rate * slope).clamp(min=SMALLEST_WEIGHT)
        learned = torch.where(present, learned, self.shares)
        self.shares = learned * (self.task_count / learned.sum())
