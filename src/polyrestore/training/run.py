"""Run a recipe: build what its phase trains, train it, and write the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from polyrestore.adapters import AdapterBank, LoraConfig, eligible_layers
from polyrestore.backbones import Backbone
from polyrestore.data import Source
from polyrestore.degradations import DEGRADATIONS
from polyrestore.errors import RecipeError, unknown_name
from polyrestore.training.loop.train import train
from polyrestore.training.phases.adapters import train_adapters
from polyrestore.training.phases.contrast import ContrastiveJob, encoder_recipe
from polyrestore.training.phases.expected_error import ExpectedErrorJob
from polyrestore.training.phases.export import export_backbone
from polyrestore.training.phases.generative import train_generative
from polyrestore.training.phases.recogniser import train_recogniser
from polyrestore.training.phases.restoration_job import RestorationJob
from polyrestore.training.recipes.batches import starting_backbone, trained_degradations, training_source
from polyrestore.training.recipes.recipe import (
    AdapterRecipe,
    ContrastTable,
    GenerativeRecipe,
    PretrainingRecipe,
    Recipe,
    RecogniserRecipe,
    load_recipe,
)
from polyrestore.training.recipes.set_check import refuse_duplicates
from polyrestore.training.tiny import tiny_recipe
from polyrestore.training.validation.crops import Validation
from polyrestore.training.validation.tasks import validation_of
from polyrestore.training.weighting import Evidence, build_weighting
from polyrestore.training.weighting.uniform import Uniform


def run_recipe(
    recipe_path: Path,
    *,
    output_folder: Path | None = None,
    resume: bool = True,
    overrides: Sequence[str] = (),
    tiny: bool = False,
) -> Path:
    """Train as a recipe says and return the folder of the resulting bundle.

    Args:
        recipe_path: a TOML file, see ``recipes/``.
        output_folder: where checkpoints, the log and the bundle go; ``runs/<recipe name>`` when None.
        resume: go on from the newest checkpoint in the output folder.
        overrides: changes to the recipe such as ``steps=100``.
        tiny: a few steps of a tiny network on generated images instead, to see that the recipe runs.

    Raises:
        RecipeError: the recipe has an unknown key or a value that does not fit.
        DataError: images are missing or do not pair up.
        TrainingError: a loss is not finite, or the output folder holds another run.
    """
    recipe = load_recipe(recipe_path, overrides)
    _check_tasks(recipe)
    folder = output_folder or Path("runs") / (f"{recipe.name}-tiny" if tiny else recipe.name)
    torch.manual_seed(recipe.seed)
    if tiny:
        recipe = tiny_recipe(recipe, folder / "generated")
    if recipe.data.check_duplicates:
        refuse_duplicates(recipe, folder)
    if isinstance(recipe, PretrainingRecipe):
        return _pretrain(recipe, folder, resume)
    if isinstance(recipe, GenerativeRecipe):
        return train_generative(recipe, folder, resume)
    if isinstance(recipe, AdapterRecipe):
        return train_adapters(recipe, folder, resume)
    assert isinstance(recipe, RecogniserRecipe)
    return train_recogniser(recipe, folder, resume)


def _pretrain(recipe: PretrainingRecipe, folder: Path, resume: bool) -> Path:
    if recipe.routed_rank and recipe.contrast is not None:
        raise RecipeError("routed_rank and [contrast] exclude each other")
    backbone = starting_backbone(recipe)
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        raise RecipeError(
            f"all weights of backbone {recipe.backbone!r} are another model's and stay as they are; "
            "train adapters instead"
        )
    source = training_source(recipe)
    validation = validation_of(recipe, source)
    bank = routed_bank(recipe, backbone, trained_degradations(source)) if recipe.routed_rank else None
    weighting = build_weighting(recipe.weighting.name, len(source.tasks), recipe.weighting.options)
    job: RestorationJob
    if recipe.contrast is not None:
        if weighting.evidence is Evidence.SCALES:
            raise RecipeError(f"weighting {recipe.weighting.name!r} cannot be combined with [contrast]")
        job = _contrastive_job(recipe, backbone, source, validation, folder, resume)
    elif weighting.evidence is Evidence.SCALES:
        job = ExpectedErrorJob(backbone, source, validation, bank, recipe.loss)
    else:
        job = RestorationJob(backbone, source, validation, bank, recipe.loss)
    figures = train(job, weighting, recipe, folder, steps=recipe.steps, resume=resume)
    adapters = {} if bank is None else {name: bank.export(name) for name in bank.names}
    return export_backbone(recipe, backbone, adapters, figures, folder / "bundle")


def _contrastive_job(
    recipe: PretrainingRecipe,
    backbone: Backbone,
    source: Source,
    validation: Validation,
    folder: Path,
    resume: bool,
) -> ContrastiveJob:
    """Train a backbone's encoder alone for as long as the recipe says, and return the job for the rest."""
    table = recipe.contrast or ContrastTable()
    arguments = (backbone, source, validation, None, recipe.loss, table, recipe.seed)
    if table.encoder_steps:
        first = encoder_recipe(recipe)
        job = ContrastiveJob(*arguments, encoder_only=True)
        train(job, Uniform(1), first, folder / "encoder", steps=first.steps, resume=resume)
    return ContrastiveJob(*arguments)


def routed_bank(recipe: PretrainingRecipe, backbone: Backbone, names: Sequence[str]) -> AdapterBank:
    """Give a backbone one LoRA per degradation on its linear layers, and leave it trainable itself."""
    linear = {path: layer for path, layer in backbone.named_modules() if type(layer) is torch.nn.Linear}
    targets = eligible_layers("lora", linear, backbone.adaptable_layers())
    if not targets:
        raise RecipeError(
            f"backbone {recipe.backbone!r} has no linear layers for routed adapters; set routed_rank = 0"
        )
    config = LoraConfig(rank=recipe.routed_rank, alpha=float(recipe.routed_rank), targets=targets)
    bank = AdapterBank(backbone)
    generator = torch.Generator().manual_seed(recipe.seed)
    for name in names:
        bank.create(name, config, generator)
    backbone.requires_grad_(True)
    return bank


def _check_tasks(recipe: Recipe) -> None:
    data, synthesis = recipe.data, recipe.synthesis
    if data.sets and isinstance(recipe, RecogniserRecipe | GenerativeRecipe):
        raise RecipeError(f'[[data.sets]] are not for phase "{recipe.phase}", which needs data.clean')
    if data.sets and "tasks" in synthesis.model_fields_set:
        raise RecipeError("synthesis.tasks go with data.clean; with [[data.sets]] the sets name the tasks")
    if synthesis.task_shares and data.sampler != "task_shares":
        raise RecipeError(f"synthesis.task_shares are not used by sampler {data.sampler!r}; drop one of them")
    named = [*synthesis.tasks, *data.pairs, *data.bursts]
    # With sets, the tasks have names of their own, which are known when the sets have been looked at.
    named += [] if data.sets else [*synthesis.task_shares]
    if isinstance(recipe, AdapterRecipe):
        named += [*recipe.adapters, *recipe.options_for]
    for name in named:
        if name not in DEGRADATIONS:
            raise unknown_name("degradation", name, DEGRADATIONS)
    low, high = synthesis.severity
    if not 0 <= low <= high <= 1:
        raise RecipeError(f"synthesis.severity = [{low}, {high}] must be two values in [0, 1], in order")
