"""Run a recipe: build what its phase trains, train it, and write the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from polyrestore.backbones import build_backbone
from polyrestore.data import BatchSource, Synthesis, load_clean, load_pairs
from polyrestore.data.images import Pair, load_burst
from polyrestore.degradations import DEGRADATIONS
from polyrestore.errors import RecipeError, unknown_name
from polyrestore.training.loop import train
from polyrestore.training.recipe import (
    AdapterRecipe,
    DataTable,
    PretrainingRecipe,
    Recipe,
    RecogniserRecipe,
    load_recipe,
)
from polyrestore.training.restoration_job import RestorationJob
from polyrestore.training.validation import ValidationSet
from polyrestore.training.weighting import build_weighting


def run_recipe(
    recipe_path: Path,
    *,
    output_folder: Path | None = None,
    resume: bool = True,
    overrides: Sequence[str] = (),
) -> Path:
    """Train as a recipe says and return the folder of the resulting bundle.

    Args:
        recipe_path: a TOML file, see ``recipes/``.
        output_folder: where checkpoints, the log and the bundle go; ``runs/<recipe name>`` when None.
        resume: go on from the newest checkpoint in the output folder.
        overrides: changes to the recipe such as ``steps=100``.

    Raises:
        RecipeError: the recipe has an unknown key or a value that does not fit.
        DataError: images are missing or do not pair up.
        TrainingError: a loss is not finite, or the output folder holds another run.
    """
    recipe = load_recipe(recipe_path, overrides)
    _check_tasks(recipe)
    folder = output_folder or Path("runs") / recipe.name
    torch.manual_seed(recipe.seed)
    if isinstance(recipe, PretrainingRecipe):
        return _pretrain(recipe, folder, resume)
    if isinstance(recipe, AdapterRecipe):
        from polyrestore.training.adapter_phase import train_adapters

        return train_adapters(recipe, folder, resume)
    assert isinstance(recipe, RecogniserRecipe)
    from polyrestore.training.recogniser_phase import train_recogniser

    return train_recogniser(recipe, folder, resume)


def batch_source(
    recipe: Recipe, synthesis: Synthesis, clean: list[torch.Tensor], pairs: dict[str, list[Pair]]
) -> BatchSource:
    """Return the training batches that a recipe describes."""
    data = recipe.data
    return BatchSource(
        clean_images=clean,
        synthesis=synthesis,
        batch_size=data.batch_size,
        patch_px=data.patch_px,
        zoom_out=data.zoom_out,
        seed=recipe.seed,
        pairs=pairs,
        pair_share=data.pair_share,
    )


def synthesis_of(recipe: Recipe, tasks: tuple[str, ...], partners: tuple[str, ...] = ()) -> Synthesis:
    """Return the synthesis of a recipe for some tasks."""
    table = recipe.synthesis
    return Synthesis(
        tasks=tasks,
        mixture_share=table.mixture_share,
        region_share=table.region_share,
        clean_share=table.clean_share,
        severity=table.severity,
        partners=partners,
    )


def load_real_pairs(data: DataTable) -> dict[str, list[Pair]]:
    """Read the pairs and bursts of a recipe, by task."""
    pairs: dict[str, list[Pair]] = {}
    for name, folders in data.pairs.items():
        pairs.setdefault(name, []).extend(pair for folder in folders for pair in load_pairs(folder))
    for name, folders in data.bursts.items():
        pairs.setdefault(name, []).extend(pair for folder in folders for pair in load_burst(folder))
    return pairs


def _pretrain(recipe: PretrainingRecipe, folder: Path, resume: bool) -> Path:
    backbone = build_backbone(recipe.backbone, **recipe.backbone_options)
    backbone.to(memory_format=torch.channels_last)
    synthesis = synthesis_of(recipe, recipe.synthesis.tasks)
    source = batch_source(recipe, synthesis, load_clean(recipe.data.clean), load_real_pairs(recipe.data))
    validation = ValidationSet(load_clean([recipe.data.validation]), synthesis.tasks)
    job = RestorationJob(backbone, source, validation)
    weighting = build_weighting(recipe.weighting.name, len(job.tasks), recipe.weighting.options)
    figures = train(job, weighting, recipe, folder, steps=recipe.steps, resume=resume)

    from polyrestore.training.export import export_backbone

    return export_backbone(recipe, backbone, figures, folder / "bundle")


def _check_tasks(recipe: Recipe) -> None:
    named = [*recipe.synthesis.tasks, *recipe.data.pairs, *recipe.data.bursts]
    if isinstance(recipe, AdapterRecipe):
        named += recipe.adapters
    for name in named:
        if name not in DEGRADATIONS:
            raise unknown_name("degradation", name, DEGRADATIONS)
    low, high = recipe.synthesis.severity
    if not 0 <= low <= high <= 1:
        raise RecipeError(f"synthesis.severity = [{low}, {high}] must be two values in [0, 1], in order")
