"""Gradient surgery (Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from polyrestore.errors import needs_extra
from polyrestore.training.weighting.base import SEED, Evidence, Weighting, step_seed


class PCGrad(Weighting):
    """Project every task's gradient off those that it conflicts with, in random order.

    The outcome is a sum of the tasks' gradients with weights that depend on their inner products alone, and
    torchjd computes these. They are divided by the number of present tasks: without any conflict the strategy
    is ``uniform``, and with conflicts the weights add up to more than 1.

    Args:
        task_count: number of tasks K.
        seed: of the order of the projections; with the number of steps it decides, so that processes agree.

    Raises:
        MissingExtraError: torchjd is not installed.
    """

    evidence = Evidence.ALL_LAYERS
    remembered = ("step",)
    bounds = {"seed": SEED}

    def __init__(self, task_count: int, seed: float = 0) -> None:
        super().__init__(task_count)
        with needs_extra('the weighting "pcgrad"', "train"):
            from torchjd.aggregation import PCGradWeighting
        self.seed = int(seed)
        self.step = torch.zeros((), dtype=torch.int64)
        self._project = PCGradWeighting()

    def weights(self, losses: Tensor, present: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Return the weights that the projections of the present tasks' gradients come to."""
        assert evidence is not None
        weights = torch.zeros(self.task_count)
        chosen = present.nonzero().flatten()
        if len(chosen):
            # torchjd draws from torch's global generator.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(step_seed(self.seed, self.step))
                weights[chosen] = self._project(evidence[chosen][:, chosen]).float() / len(chosen)
        self.step += 1
        return weights
