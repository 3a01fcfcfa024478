"""Learned uncertainty (Kendall, Gal and Cipolla, CVPR 2018, arXiv 1705.07115)."""

from __future__ import annotations

import torch
from torch import Tensor

from polyrestore.training.weighting.base import POSITIVE, Weighting


class Uncertainty(Weighting):
    """Weight every task by the inverse of a noise scale that is learned for it.

    For an L1 loss the likelihood is a Laplace one of scale b_k = exp(s_k), whose negative logarithm is
    ``L_k exp(-s_k) + s_k``. Its gradient in s_k, ``1 - L_k exp(-s_k)``, needs the losses only, so s_k is
    learned here, by plain gradient descent, and every process computes the same.

    Args:
        task_count: number of tasks K.
        learning_rate: of s_k.
        initial_loss: b_k at the start.
    """

    remembered = ("log_scale",)
    bounds = {"learning_rate": POSITIVE, "initial_loss": POSITIVE}

    def __init__(self, task_count: int, learning_rate: float = 0.01, initial_loss: float = 0.1) -> None:
        super().__init__(task_count)
        self.learning_rate = learning_rate
        self.log_scale = torch.full((task_count,), float(torch.tensor(initial_loss).log()))

    def weights(self, losses: Tensor, present: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Return exp(-s_k) over its sum, for the present tasks, then learn from the losses (K,).

        The sum of the published weights is not 1; dividing by it keeps the learning rate's meaning and leaves
        the balance between the tasks as it is.
        """
        losses, present = losses.detach().float().cpu(), present.cpu()
        inverse = torch.exp(-self.log_scale) * present.float()
        slope = 1 - losses * torch.exp(-self.log_scale)
        step = self.learning_rate * slope.clamp(-1, 1)
        self.log_scale = torch.where(present, self.log_scale - step, self.log_scale)
        return inverse / inverse.sum().clamp(min=1e-12)
