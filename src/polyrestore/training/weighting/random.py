"""Random loss weighting (Lin et al., "Reasonable Effectiveness of Random Weighting", TMLR 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from polyrestore.training.weighting.base import SEED, Weighting, present_softmax, step_seed


class RandomWeighting(Weighting):
    """Draw new weights every step: the softmax of normal numbers, a baseline that is hard to beat.

    Args:
        task_count: number of tasks K.
        seed: of the draws; with the number of steps it decides them all, so that processes agree.
    """

    remembered = ("step",)
    bounds = {"seed": SEED}

    def __init__(self, task_count: int, seed: float = 0) -> None:
        super().__init__(task_count)
        self.seed = int(seed)
        self.step = torch.zeros((), dtype=torch.int64)

    def weights(self, losses: Tensor, present: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Return this step's weights (K,) of the present tasks; the losses do not matter."""
        present = present.cpu()
        generator = torch.Generator().manual_seed(step_seed(self.seed, self.step))
        self.step += 1
        scores = torch.randn(self.task_count, generator=generator)
        return present_softmax(scores, present)
