"""From a recipe to the network and the batches it describes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from polyrestore.backbones import Backbone, build_backbone
from polyrestore.backbones.layers import use_channels_last
from polyrestore.bundles import load_bundle
from polyrestore.data import (
    BatchSource,
    Pair,
    PixelCache,
    Source,
    Synthesis,
    TaskSource,
    align_pair,
    load_burst,
    load_clean,
    load_pairs,
)
from polyrestore.degradations import DEGRADATIONS
from polyrestore.errors import (
    RecipeError,
    UnknownRecipeNameError,
    unknown_name,
)
from polyrestore.training.recipes.data_table import DataTable
from polyrestore.training.recipes.recipe import BackboneRecipe, Recipe
from polyrestore.training.recipes.tasks import load_tasks


def training_source(recipe: Recipe) -> Source:
    """Return the training batches of a recipe with all its tasks, from memory or from sets on disk.

    Raises:
        RecipeError: the sets do not have what the recipe asks for.
        DataError: images are missing or do not pair up.
    """
    if not recipe.data.sets:
        synthesis = synthesis_of(recipe, recipe.synthesis.tasks or tuple(DEGRADATIONS))
        return batch_source(recipe, synthesis, load_clean(recipe.data.clean), load_real_pairs(recipe.data))
    data = recipe.data
    tasks = load_tasks(data.sets, recipe.synthesis.severity)
    source = TaskSource(
        task_list=tasks,
        batch_size=data.batch_size,
        patch_px=data.patch_px,
        seed=recipe.seed,
        sampler=data.sampler,
        task_shares=recipe.synthesis.task_shares,
        cache=PixelCache(data.cache_mb * 2**20),
    )
    for name in recipe.synthesis.task_shares:
        if name not in source.tasks:
            raise unknown_name("task", name, source.tasks, UnknownRecipeNameError)
    return source


def starting_backbone(recipe: BackboneRecipe) -> Backbone:
    """Return the network that a recipe trains: a new one, or that of the bundle that it starts from.

    Raises:
        UnknownNameError: there is no such backbone.
        BackboneError: the backbone does not take one of the options.
        RecipeError: the bundle holds another backbone.
    """
    backbone = build_backbone(recipe.backbone, **recipe.backbone_options)
    if recipe.start_from:
        start = load_bundle(recipe.start_from).backbone
        if (start.description, start.options) != (backbone.description, backbone.options):
            raise RecipeError(f"the backbone of {recipe.start_from} is not the one of the recipe")
        backbone = start
    use_channels_last(backbone)
    return backbone


def batch_source(
    recipe: Recipe, synthesis: Synthesis, clean: list[Tensor], pairs: dict[str, list[Pair]]
) -> BatchSource:
    """Return the training batches that a recipe describes."""
    data = recipe.data
    return BatchSource(
        clean_images=clean,
        synthesis=synthesis,
        batch_size=data.batch_size,
        patch_px=data.patch_px,
        zoom_out=data.zoom_out,
        zoom_in=data.zoom_in,
        seed=recipe.seed,
        pairs=pairs,
        pair_share=data.pair_share,
        pair_stops=data.pair_stops,
        vary_light=data.vary_light,
        stars=data.stars,
        stored=data.stored,
        narrow=data.narrow,
        sampler=data.sampler,
    )


def synthesis_of(recipe: Recipe, tasks: tuple[str, ...]) -> Synthesis:
    """Return the synthesis of a recipe for some tasks."""
    return Synthesis(**{**recipe.synthesis.model_dump(), "tasks": tasks})


def held_out_images(data: DataTable) -> list[Tensor]:
    """Read the clean photographs that are held back, uint8 (3, H, W) each.

    Raises:
        RecipeError: the recipe names none.
        DataError: the folder is missing or holds no image.
    """
    if data.validation is None:
        raise RecipeError("data.validation is missing: a folder of clean photographs that are held back")
    return load_clean([data.validation])


def load_real_pairs(data: DataTable) -> dict[str, list[Pair]]:
    """Read the pairs and bursts of a recipe, by task.

    Raises:
        DataError: a folder is missing, or its images do not pair up.
    """
    pairs = {name: _pairs(data, name, folders) for name, folders in data.pairs.items()}
    for name, folders in data.bursts.items():
        pairs.setdefault(name, []).extend(pair for folder in folders for pair in load_burst(folder))
    return pairs


def held_out_pairs(data: DataTable) -> dict[str, list[Pair]]:
    """Read the pairs that are held back, by task.

    Raises:
        DataError: a folder is missing, or its images do not pair up.
    """
    return {name: _pairs(data, name, folders) for name, folders in data.validation_pairs.items()}


def _pairs(data: DataTable, name: str, folders: Sequence[Path]) -> list[Pair]:
    found = [pair for folder in folders for pair in load_pairs(folder)]
    return [align_pair(pair) for pair in found] if name in data.aligned else found
