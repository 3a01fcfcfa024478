"""The first phase: the backbone alone, or with one LoRA per degradation at its side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from polyrestore.adapters import AdapterBank, LoraConfig, eligible_layers
from polyrestore.backbones import Backbone
from polyrestore.data import Source
from polyrestore.errors import RecipeError
from polyrestore.training.loop.train import train
from polyrestore.training.phases.contrast import ContrastiveJob, encoder_recipe
from polyrestore.training.phases.expected_error import ExpectedErrorJob
from polyrestore.training.phases.export import export_backbone
from polyrestore.training.phases.restoration_job import RestorationJob
from polyrestore.training.recipes.batches import starting_backbone, trained_degradations, training_source
from polyrestore.training.recipes.recipe import ContrastTable, PretrainingRecipe
from polyrestore.training.validation.crops import Validation
from polyrestore.training.validation.tasks import validation_of
from polyrestore.training.weighting import Evidence, build_weighting
from polyrestore.training.weighting.uniform import Uniform


def pretrain(recipe: PretrainingRecipe, folder: Path, resume: bool) -> Path:
    """Train a backbone, alone or beside one LoRA per degradation, and return the folder of its bundle.

    Raises:
        RecipeError: the recipe asks for things that exclude each other, or for a backbone with no weights of
            its own to train.
        TrainingError: a loss is not finite, or the folder holds another run.
    """
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
