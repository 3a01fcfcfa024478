"""Recipes whose phase a test knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from polyrestore.training.reading import load_recipe
from polyrestore.training.recipes.recipe import Recipe

Kind = TypeVar("Kind", bound=Recipe)


def load_kind(kind: type[Kind], path: Path, overrides: Sequence[str] = ()) -> Kind:
    """Read a recipe as ``load_recipe`` does, and check that it is of this kind."""
    recipe = load_recipe(path, overrides)
    assert isinstance(recipe, kind)
    return recipe
