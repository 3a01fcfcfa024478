"""Refuse to train on what a run is measured on."""

from __future__ import annotations

from pathlib import Path

from polyrestore.data import HashMemory, Sample, find_duplicates, find_sets
from polyrestore.data.duplicates import clean_files
from polyrestore.errors import RecipeError
from polyrestore.training.recipes.recipe import Recipe
from polyrestore.training.recipes.tasks import chosen_samples

HASHES_NAME = "image-hashes.json"
SHOWN = 3


def refuse_duplicates(recipe: Recipe, folder: Path) -> None:
    """Compare what a recipe trains on with what it validates on.

    Args:
        recipe: names the sets.
        folder: of the run; the hashes are kept there, so that going on with a run costs no time.

    Raises:
        RecipeError: an image is in both, mirrored or compressed once more or not.
        MissingExtraError: imagehash is not installed.
        DataError: a set is missing or incomplete.
        ImageError: an image cannot be read.
    """
    first, second = map(clean_files, recipe_samples(recipe))
    found = find_duplicates(first, second, HashMemory(folder / HASHES_NAME))
    if found:
        shown = "; ".join(str(each) for each in found[:SHOWN]) + (" ..." if len(found) > SHOWN else "")
        raise RecipeError(
            f"{len(found)} images are trained on and validated on: {shown}. Take them out of one side, or "
            "switch this check off with data.check_duplicates = false"
        )


def recipe_samples(recipe: Recipe) -> tuple[list[Sample], list[Sample]]:
    """Return all samples that a recipe trains on, and all that it validates on.

    Raises:
        RecipeError: a set does not have what is asked of it.
        DataError: a folder is missing, holds no set, or images do not pair up.
    """
    data = recipe.data
    held_out = [sample for table in data.validation_sets for sample in chosen_samples(table, True)]
    if data.validation is not None:
        held_out += _found(data.validation)
    held_out += [each for paths in data.validation_pairs.values() for path in paths for each in _found(path)]
    training = [sample for table in data.sets for sample in chosen_samples(table, False)]
    folders = [*data.clean]
    for table in (data.pairs, data.bursts):
        folders += [folder for paths in table.values() for folder in paths]
    return training + [sample for folder in folders for sample in _found(folder)], held_out


def _found(folder: Path) -> list[Sample]:
    return [sample for found in find_sets(folder) for sample in found.samples]
