"""A training that ends after so much time: the schedule of its learning rate follows the clock."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

# Until the pace is known, the run's first steps count as its start.
_LEAST_SHARE = 1e-3


class Allotment:
    """How much of a run's time is used up, over all of its parts.

    Attributes:
        seconds: how long the run may train; None for as long as its steps take.

    Args:
        minutes: the same in minutes; 0 for None.
    """

    def __init__(self, minutes: float) -> None:
        self.seconds = 60 * minutes if minutes else None
        self._used_before = 0.0
        self._began = time.perf_counter()

    def begin(self) -> None:
        """Let the time run from now on: what a run prepares does not count."""
        self._began = time.perf_counter()

    @property
    def used(self) -> float:
        """Seconds that were trained, those before a checkpoint among them."""
        return self._used_before + time.perf_counter() - self._began

    @property
    def is_over(self) -> bool:
        """True when no step is left to be made."""
        return self.seconds is not None and self.used >= self.seconds

    def expected_steps(self, step: int, steps: int) -> int:
        """Return how long the run will be at its pace so far, which is what its schedule goes by.

        Args:
            step: from 0, the one that comes next.
            steps: how many there are at most.
        """
        if self.seconds is None:
            return steps
        share = min(1.0, self.used / self.seconds)
        return min(steps, max(step + 1, round(step / max(share, _LEAST_SHARE))))

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint has to hold; nothing without a limit."""
        return {} if self.seconds is None else {"seconds": torch.tensor(self.used, dtype=torch.float64)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on with the time that was used before a checkpoint."""
        if "seconds" in state:
            self._used_before = float(state["seconds"])
