"""Every task counts the same."""

from __future__ import annotations

from torch import Tensor

from polyrestore.training.weighting.base import Weighting


class Uniform(Weighting):
    """Equal weights for the tasks that are present."""

    def weights(self, losses: Tensor, present: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Return 1 / (number of present tasks) where present, else 0."""
        chosen = present.float()
        return chosen / chosen.sum().clamp(min=1)
