"""The strategies that balance the tasks' losses by name, one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from polyrestore.errors import (
    RecipeError,
    UnknownRecipeNameError,
    nearest_names,
    unknown_name,
)
from polyrestore.registries import Registry
from polyrestore.training.weighting.art import Art
from polyrestore.training.weighting.base import Weighting
from polyrestore.training.weighting.dwa import DynamicWeightAverage
from polyrestore.training.weighting.gradnorm import GradNorm
from polyrestore.training.weighting.pcgrad import PCGrad
from polyrestore.training.weighting.random import RandomWeighting
from polyrestore.training.weighting.tur import TaskUncertainty
from polyrestore.training.weighting.uncertainty import Uncertainty
from polyrestore.training.weighting.uniform import Uniform

WEIGHTINGS: Registry[type[Weighting]] = Registry(
    {
        "uniform": Uniform,
        "art": Art,
        "dwa": DynamicWeightAverage,
        "random": RandomWeighting,
        "uncertainty": Uncertainty,
        "gradnorm": GradNorm,
        "pcgrad": PCGrad,
        "tur": TaskUncertainty,
    }
)


def build_weighting(name: str, task_count: int, options: Mapping[str, float] | None = None) -> Weighting:
    """Build a strategy for ``task_count`` tasks.

    Raises:
        UnknownNameError: no strategy has this name.
        RecipeError: the strategy does not take one of the options.
    """
    check_weighting(name, options or {})
    build = cast("Callable[..., Weighting]", WEIGHTINGS[name])
    return build(task_count, **(options or {}))


def check_weighting(name: str, options: Mapping[str, float]) -> None:
    """Refuse a strategy that does not exist, and options that it does not take or that are out of bounds.

    Raises:
        UnknownNameError: no strategy has this name.
        RecipeError: an option is unknown or outside its range.
    """
    if name not in WEIGHTINGS:
        raise unknown_name("weighting", name, WEIGHTINGS, UnknownRecipeNameError)
    bounds = WEIGHTINGS[name].bounds
    for option, value in options.items():
        if option not in bounds:
            hint = nearest_names(option, bounds) if bounds else "it takes none"
            raise RecipeError(f"weighting {name!r} does not take the option {option!r}; {hint}")
        low, high = bounds[option]
        if not low <= value <= high:
            raise RecipeError(f"weighting.options.{option} = {value:g} must be between {low:g} and {high:g}")
