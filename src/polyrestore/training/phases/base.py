"""What a training phase is: its recipe, how it trains, and how it is tried in small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyrestore.training.loop.control import RunControl
from polyrestore.training.recipes.recipe import Recipe


@dataclass(frozen=True)
class Phase:
    """One kind of training, as the ``phase`` key of a recipe names it.

    Attributes:
        recipe: the class that a recipe of this phase is validated by.
        train: trains as a recipe of that class says, and returns the folder of the bundle that it wrote.
        shrink: given a recipe and a folder for what it needs, returns the fields to change so that the
            recipe runs in seconds; images, steps and intervals are made small for every phase alike.
    """

    recipe: type[Recipe]
    train: Callable[[Any, RunControl], Path]
    shrink: Callable[[Any, Path], dict[str, Any]]
