"""Task-level uncertainty from the network itself (TUR, AAAI 2025)."""

from __future__ import annotations

import torch
from torch import Tensor

from polyrestore.training.weighting.base import Evidence, Weighting

SMALLEST_SCALE = 1e-6


class TaskUncertainty(Weighting):
    """Divide a task's loss by how uncertain the network says it is, and make uncertainty cost.

    A branch on the last decoder features predicts a map; with its mean u_k over a task's samples, plus 1e-6::

        L = (1 / K) sum_k [ mean |restored / u_k - clean / u_k| + 2 log u_k ]

    over the tasks that are present. Gradients flow through u_k into the branch and into the network; the
    branch is dropped after training. The weights 1 / (K u_k) do not add up to 1, as published: Adam and
    Muon do not see the scale of a loss, clipping of gradients does.

    Args:
        task_count: number of tasks K.
    """

    evidence = Evidence.SCALES

    def weights(self, losses: Tensor, present: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Return 1 / (K u_k) for the present tasks, with the scales in ``evidence``."""
        assert evidence is not None
        return present / (evidence.clamp(min=0) + SMALLEST_SCALE) / present.sum().clamp(min=1)

    def scale_slopes(self, losses: Tensor, present: Tensor, scales: Tensor) -> Tensor:
        """Return (2 / u_k - L_k / u_k^2) / K for the present tasks."""
        scale = scales.clamp(min=0) + SMALLEST_SCALE
        slopes = (2 / scale - losses / scale.square()) / present.sum().clamp(min=1)
        return torch.where(present, slopes, 0.0)
