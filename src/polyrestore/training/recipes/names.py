"""Which degradations a recipe may name: those that can be synthesised, and those that it brings pairs of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from polyrestore.degradations import DEGRADATIONS, check_name
from polyrestore.errors import (
    RecipeError,
    UnknownDegradationError,
    nearest_names,
    unknown_name,
)
from polyrestore.training.recipes.recipe import AdapterRecipe, Recipe


def check_trained(recipe: Recipe, trained: Sequence[str]) -> None:
    """Refuse degradations of which a recipe has no samples, and keys that name what it does not train.

    Args:
        recipe: with images in memory (``data.clean``), not with sets.
        trained: the degradations that are trained on.

    Raises:
        UnknownNameError: one of them can neither be synthesised nor has pairs, or a table of the recipe names
            what is neither known nor trained.
        DegradationError: one of them cannot be the name of a degradation.
        RecipeError: one that cannot be synthesised has no pairs to be validated on.
    """
    data = recipe.data
    paired = {*data.pairs, *data.bursts}
    for name in trained:
        if name in DEGRADATIONS:
            continue
        check_name(name)
        if name not in paired:
            raise UnknownDegradationError(
                f"degradation {name!r} cannot be synthesised and has no pairs (data.pairs.{name}); "
                + nearest_names(name, {*DEGRADATIONS, *paired})
            )
        if name not in data.validation_pairs:
            raise RecipeError(
                f"degradation {name!r} cannot be synthesised, not even to validate on; give pairs that are "
                f"held back: data.validation_pairs.{name}"
            )
    tables = (data.pairs, data.bursts, data.validation_pairs, data.aligned, recipe.synthesis.task_shares)
    _require_known((name for table in tables for name in table), trained)


def check_options(recipe: AdapterRecipe) -> None:
    """Refuse options for what is neither an adapter of a recipe nor a known degradation.

    Raises:
        UnknownNameError: names it.
    """
    _require_known(recipe.options_for, recipe.adapters)


def _require_known(names: Iterable[str], trained: Sequence[str]) -> None:
    # One recipe is often the base of others, so it may speak of degradations that only they train.
    known = {*DEGRADATIONS, *trained}
    for name in names:
        if name not in known:
            raise unknown_name("degradation", name, known, UnknownDegradationError)
