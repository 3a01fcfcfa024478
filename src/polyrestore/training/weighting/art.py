"""Active re-weighting of the tasks (Wu et al., "Harmony in Diversity", ACM MM 2024)."""

from __future__ import annotations

import torch
from torch import Tensor

from polyrestore.training.weighting.base import POSITIVE, SHARE, Weighting, present_softmax

LARGEST_LOSS = 0.99
SMALLEST_LOSS = 1e-6


class Art(Weighting):
    """Weight the tasks that get worse, and those that are far from their own best.

    With the mean loss L_k of a task in this step, its moving average E_k and its best m_k from before::

        r_k = (L_k / E_k) * (log10 m_k / log10 L_k),   w = softmax(r / T) over the tasks that are present

    The weights multiply the tasks' mean losses as they are, however often each task is drawn: a rare task
    that lags behind is to count for more, which a factor for its rarity would undo.

    Losses are held inside (0, 1), where both logarithms are negative. A loss of exactly 0, from a batch that
    had nothing to restore, changes neither E_k nor m_k: it says nothing about how well the task is learned.

    Args:
        task_count: number of tasks K.
        temperature: T; 0.1 in the paper. Few samples per task make r noisy and call for more.
        momentum: share a of the new loss in E_k; 0.01 in the paper.
        forgetting: share by which m_k moves towards E_k in each step, so that one lucky batch does not fix
            it for ever; 0 in the paper.
    """

    balances_alone = True
    remembered = ("average", "best")
    bounds = {"temperature": POSITIVE, "momentum": SHARE, "forgetting": SHARE}

    def __init__(
        self, task_count: int, temperature: float = 0.1, momentum: float = 0.01, forgetting: float = 0.0
    ) -> None:
        super().__init__(task_count)
        self.temperature = temperature
        self.momentum = momentum
        self.forgetting = forgetting
        self.average = torch.full((task_count,), 0.1)
        self.best = torch.full((task_count,), 0.1)

    def weights(self, losses: Tensor, present: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Return the softmax weights (K,) for losses (K,), then update the averages and the best."""
        given, present = losses.detach().float().cpu(), present.cpu()
        losses = given.clamp(SMALLEST_LOSS, LARGEST_LOSS)
        ratio = (losses / self.average) * (self.best.log10() / losses.log10())
        weights = present_softmax(ratio / self.temperature, present)
        average = self.average + self.momentum * (losses - self.average)
        best = torch.minimum(self.best, losses)
        best = best + self.forgetting * (average - best).clamp(min=0)
        telling = present & (given > 0)
        self.average = torch.where(telling, average, self.average)
        self.best = torch.where(telling, best, self.best)
        return weights
