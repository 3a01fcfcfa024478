"""Learning rates as functions of the step alone, so that a checkpoint needs to hold nothing of them."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polyrestore.training.recipes.recipe import OptimiserTable


def learning_rate(step: int, steps: int, table: OptimiserTable) -> float:
    """Return the learning rate of a step: a linear warm-up times the recipe's schedule.

    Args:
        step: from 0.
        steps: length of the run.
        table: the recipe's optimiser.
    """
    warmup = min(1.0, (step + 1) / max(1, table.warmup_steps))
    return table.learning_rate * warmup * _share(step, steps, table)


def _share(step: int, steps: int, table: OptimiserTable) -> float:
    if table.schedule == "constant":
        return 1.0
    if table.schedule == "steps":
        reached = sum(step >= milestone for milestone in table.milestones)
        return max(table.final_share, table.decay**reached)
    if table.schedule == "cycles":
        return _cycles(step, table)
    progress = step / max(1, steps)
    falling = 1 - progress if table.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return table.final_share + (1 - table.final_share) * falling


def _cycles(step: int, table: OptimiserTable) -> float:
    """Follow the first cycle flat at 1, and half a cosine down to the final share in every later one.

    Restormer's schedule: 92,000 steps at full rate, then a cosine over 208,000 (arXiv 2111.09881, section 4).
    """
    ends = list(accumulate(table.milestones))
    index = next((i for i, end in enumerate(ends) if step < end), None)
    if index is None:
        return table.final_share
    if index == 0:
        return 1.0
    progress = (step - ends[index - 1]) / table.milestones[index]
    return table.final_share + (1 - table.final_share) * 0.5 * (1 + math.cos(math.pi * progress))
