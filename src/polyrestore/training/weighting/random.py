"""Random loss weighting (Lin et al., "Reasonable Effectiveness of Random Weighting", TMLR 2022)."""

from __future__ import annotations

import torch
from torch import Tensor


class RandomWeighting:
    """Draw new weights every step: the softmax of normal numbers, a baseline that is hard to beat.

    Args:
        task_count: number of tasks K.
        seed: of the draws; with the number of steps it decides them all, so that processes agree.
    """

    def __init__(self, task_count: int, seed: float = 0) -> None:
        self.task_count = task_count
        self.seed = int(seed)
        self.step = torch.zeros((), dtype=torch.int64)

    def weights(self, losses: Tensor, present: Tensor) -> Tensor:
        """Return this step's weights (K,) of the present tasks; the losses do not matter."""
        present = present.cpu()
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + int(self.step)) % 2**32)
        self.step += 1
        scores = torch.randn(self.task_count, generator=generator)
        scores = torch.where(present, scores, float("-inf"))
        return torch.softmax(scores, 0) if present.any() else torch.zeros(self.task_count)

    def state(self) -> dict[str, Tensor]:
        """Return the number of steps."""
        return {"step": self.step.clone()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on after a saved number of steps."""
        self.step = state["step"].clone()
