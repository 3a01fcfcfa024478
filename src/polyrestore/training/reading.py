"""Reading recipes: TOML in, a validated recipe out; an unknown key is an error that names the nearest one."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from polyrestore.errors import NotationError, RecipeError, nearest_names
from polyrestore.files import read_text
from polyrestore.notation import read_value, split_assignment
from polyrestore.training.phases.registry import PHASES
from polyrestore.training.recipes.data_table import resolve
from polyrestore.training.recipes.recipe import Recipe

_LONGEST_VALUE = 80


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides such as ``optimiser.learning_rate=1e-4``.

    A recipe that says ``base = "other.toml"`` changes the one beside it, table by table; several bases are
    laid over each other in order, and may be parts that are no recipes by themselves.

    Raises:
        RecipeError: the file is missing or no TOML, a key is unknown, or a value does not fit.
        NotationError: an override is not of the form ``key=value``.
    """
    content = _read(path)
    for override in overrides:
        _apply_override(content, override)
    phase = content.get("phase")
    if not isinstance(phase, str) or phase not in PHASES:
        raise RecipeError(f"{path}: phase must be one of {', '.join(PHASES)}, not {phase!r}")
    try:
        recipe = PHASES[phase].recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{path}: {_explain(error, PHASES[phase].recipe)}") from error
    changes: dict[str, Any] = {"data": resolve(recipe.data, path.parent), **recipe.choose()}
    for field in recipe.bundle_fields:
        if "/" in getattr(recipe, field):
            changes[field] = str(path.parent / getattr(recipe, field))
    return recipe.model_copy(update=changes)


def _read(path: Path, readers: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a recipe's tables, on top of those of its bases."""
    try:
        content = tomllib.loads(read_text(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RecipeError(f"cannot read the recipe {path}: {reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise RecipeError(f"{path} is nested too deeply for a recipe") from error
    if "base" not in content:
        return content
    named = content.pop("base")
    whole: dict[str, Any] = {}
    for base in named if isinstance(named, list) else [named]:
        # In one folder, relative paths mean the same in both.
        if not isinstance(base, str) or Path(base).name != base:
            raise RecipeError(f"{path}: base must name a recipe in the same folder, not {base!r}")
        if path in readers:
            raise RecipeError(f"{path}: its base leads back to itself")
        whole = _merged(whole, _read(path.parent / base, (*readers, path)))
    return _merged(whole, content)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Put changes over a base, table by table."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, text = split_assignment(override)
    if text is None or not key:
        raise NotationError(f"override {override!r} is not of the form key=value")
    try:
        value = read_value(text)
    except tomllib.TOMLDecodeError:
        value = text
    *tables, last = key.split(".")
    for table in tables:
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise RecipeError(f"override {override!r}: {table!r} is not a table")
    content[last] = value


def _explain(error: ValidationError, recipe: type[Recipe]) -> str:
    """Put the first problem of a validation error into one line."""
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    where, given = ".".join(location), _shorten(repr(first["input"]))
    if first["type"] == "extra_forbidden":
        return f"unknown key {where!r}; {nearest_names(location[-1], _known_keys(recipe, location[:-1]))}"
    if first["type"] == "missing":
        return f"the key {where!r} is missing"
    if first["type"] == "value_error":
        return f"{where}: {first['ctx']['error']}"
    if first["type"] == "string_pattern_mismatch":
        return f"{where} = {given}: letters, digits, _ and - only, beginning with a letter or digit"
    return f"{where} = {given}: {first['msg']}"


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _known_keys(model: type[BaseModel], tables: Sequence[str]) -> list[str]:
    for table in tables:
        if table not in model.model_fields:
            continue
        inner = _table_in(model.model_fields[table].annotation)
        if inner is None:
            break
        model = inner
    return list(model.model_fields)


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """Return the table that an annotation such as ``Table | None`` or ``tuple[Table, ...]`` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_table_in, get_args(annotation))), None)
