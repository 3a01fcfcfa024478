"""The interface of the strategies that balance the tasks' losses."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Weighting(Protocol):
    """Turns the losses of the tasks into their weights, once per step."""

    def weights(self, losses: Tensor, present: Tensor) -> Tensor:
        """Return the weight of every task for this step, and take the losses into account for the next.

        Args:
            losses: (K,) mean loss per task over all processes, detached; ignored where absent.
            present: (K,) True where the task has samples in this step.

        Returns:
            (K,) weights, 0 for absent tasks, with a sum of 1.
        """

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold."""

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to a saved state."""
