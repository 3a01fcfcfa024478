"""Strategies that balance the tasks' losses, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from polyrestore.errors import RecipeError, unknown_name
from polyrestore.training.weighting.art import Art
from polyrestore.training.weighting.base import Evidence, Weighting
from polyrestore.training.weighting.dwa import DynamicWeightAverage
from polyrestore.training.weighting.gradnorm import GradNorm
from polyrestore.training.weighting.pcgrad import PCGrad
from polyrestore.training.weighting.random import RandomWeighting
from polyrestore.training.weighting.tur import TaskUncertainty
from polyrestore.training.weighting.uncertainty import Uncertainty
from polyrestore.training.weighting.uniform import Uniform

WEIGHTINGS: dict[str, Callable[..., Weighting]] = {
    "uniform": Uniform,
    "art": Art,
    "dwa": DynamicWeightAverage,
    "random": RandomWeighting,
    "uncertainty": Uncertainty,
    "gradnorm": GradNorm,
    "pcgrad": PCGrad,
    "tur": TaskUncertainty,
}


def build_weighting(name: str, task_count: int, options: Mapping[str, float] | None = None) -> Weighting:
    """Build a strategy for ``task_count`` tasks.

    Raises:
        UnknownNameError: no strategy has this name.
        RecipeError: the strategy does not take one of the options.
    """
    if name not in WEIGHTINGS:
        raise unknown_name("weighting", name, WEIGHTINGS)
    try:
        return WEIGHTINGS[name](task_count, **(options or {}))
    except TypeError as error:
        raise RecipeError(f"weighting {name!r} does not take these options: {error}") from error


__all__ = ["WEIGHTINGS", "Evidence", "Weighting", "build_weighting"]
