"""The interface of the strategies that balance the tasks' losses."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import ClassVar

import torch
from torch import Tensor


def present_softmax(scores: Tensor, present: Tensor) -> Tensor:
    """Return the softmax (K,) of scores over the present tasks, 0 for the others, all 0 where none is."""
    chosen = torch.where(present, scores, float("-inf"))
    return torch.softmax(chosen, 0) if present.any() else torch.zeros_like(chosen)


def step_seed(seed: int, step: Tensor) -> int:
    """Return a seed for the draws of one step, the same in every process."""
    return (seed * 1_000_003 + int(step)) % 2**32


# Ranges that several strategies' options share.
POSITIVE = (1e-6, 1e6)
SHARE = (0.0, 1.0)
SEED = (0.0, 2.0**32 - 1)


class Evidence(Enum):
    """What a strategy looks at besides the losses; the loop measures no more than that."""

    NONE = "the losses alone"
    SHARED_LAYER = "inner products of the tasks' gradients in the last shared layer"
    ALL_LAYERS = "inner products of the tasks' gradients in all parameters"
    SCALES = "how large an error the network itself expects, per task"


class Weighting:
    """Turns the losses of the tasks into their weights, once per step.

    A strategy keeps its memory in tensors, one per name of ``remembered``, so that it is saved with the
    checkpoint. What it is given has been summed over all processes: each of them computes the same.

    ``balances_alone`` is True where the weights alone say how much each task counts. Elsewhere the loop
    multiplies them by how often each task is drawn, so that equal weights are the mean over all samples.

    ``bounds`` holds the lowest and the highest value of each option, by name; a recipe with another option or
    a value beyond them is refused before anything is read.

    Args:
        task_count: number of tasks K.
    """

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}
    balances_alone: ClassVar[bool] = False
    evidence: ClassVar[Evidence] = Evidence.NONE
    remembered: ClassVar[tuple[str, ...]] = ()

    def __init__(self, task_count: int) -> None:
        self.task_count = task_count

    def weights(self, losses: Tensor, present: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Return the weight of every task for this step, and take the losses into account for the next.

        Args:
            losses: (K,) mean loss per task over all processes, detached, on the CPU; 0 where absent.
            present: (K,) True where the task has samples in this step.
            evidence: what ``self.evidence`` says: (K, K) inner products of gradients, (K,) scales, or None.

        Returns:
            (K,) weights, 0 for absent tasks, with a sum of 1 unless the strategy says otherwise.
        """
        raise NotImplementedError

    def scale_slopes(self, losses: Tensor, present: Tensor, scales: Tensor) -> Tensor:
        """Return the derivative (K,) of the loss in each task's scale, for :attr:`Evidence.SCALES` only."""
        raise NotImplementedError

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold."""
        return {name: getattr(self, name).clone() for name in self.remembered}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go back to a saved state."""
        for name in self.remembered:
            setattr(self, name, state[name].clone())
