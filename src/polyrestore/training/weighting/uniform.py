"""Every task counts the same."""

from __future__ import annotations

from torch import Tensor


class Uniform:
    """Equal weights for the tasks that are present."""

    def __init__(self, task_count: int) -> None:
        self.task_count = task_count

    def weights(self, losses: Tensor, present: Tensor) -> Tensor:
        """Return 1 / (number of present tasks) where present, else 0; both arguments are (K,)."""
        chosen = present.float()
        return chosen / chosen.sum().clamp(min=1)

    def state(self) -> dict[str, Tensor]:
        """Return an empty state."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Accept an empty state."""
