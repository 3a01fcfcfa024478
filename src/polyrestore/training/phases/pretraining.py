"""Phase 1: a backbone learns every degradation, from synthetic data or from sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from polyrestore.adapters import AdapterBank, LoraConfig, eligible_layers
from polyrestore.adapters.lora_config import TINY_RANK
from polyrestore.backbones import Backbone
from polyrestore.data import Source
from polyrestore.errors import RecipeError
from polyrestore.training.loop.control import RunControl
from polyrestore.training.loop.train import train
from polyrestore.training.phases.base import Phase
from polyrestore.training.phases.contrast import ContrastiveJob, encoder_recipe
from polyrestore.training.phases.expected_error import ExpectedErrorJob
from polyrestore.training.phases.export import export_backbone
from polyrestore.training.phases.restoration_job import RestorationJob
from polyrestore.training.phases.shrinking import tiny_backbone_options
from polyrestore.training.recipes.batches import starting_backbone, training_source
from polyrestore.training.recipes.recipe import ContrastTable, PretrainingRecipe
from polyrestore.training.validation.crops import Validation
from polyrestore.training.validation.tasks import validation_of
from polyrestore.training.weighting import Evidence, build_weighting
from polyrestore.training.weighting.uniform import Uniform

_TINY_CROP_PX = 24


def pretrain(recipe: PretrainingRecipe, control: RunControl) -> Path:
    """Train a backbone as a whole, balanced by the recipe's strategy, and return the bundle that holds it.

    Raises:
        RecipeError: parts of the recipe exclude each other, or the backbone has no weights of its own.
    """
    if recipe.joint_rank and recipe.contrast is not None:
        raise RecipeError("joint_rank and [contrast] exclude each other")
    backbone = starting_backbone(recipe)
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        raise RecipeError(
            f"all weights of backbone {recipe.backbone!r} are another model's and stay as they are; "
            "train adapters instead"
        )
    source = training_source(recipe)
    validation = validation_of(recipe, source)
    bank = joint_bank(recipe, backbone, source.names) if recipe.joint_rank else None
    weighting = build_weighting(recipe.weighting.name, len(source.tasks), recipe.weighting.options)
    job: RestorationJob
    if recipe.contrast is not None:
        if weighting.evidence is Evidence.SCALES:
            raise RecipeError(f"weighting {recipe.weighting.name!r} cannot be combined with [contrast]")
        job = _contrastive_job(recipe, backbone, source, validation, control)
    elif weighting.evidence is Evidence.SCALES:
        job = ExpectedErrorJob(backbone, source, validation, bank, recipe.loss)
    else:
        job = RestorationJob(backbone, source, validation, bank, recipe.loss)
    figures = train(job, weighting, recipe, control, steps=recipe.steps)
    adapters = {} if bank is None else {name: bank.export(name) for name in bank.names}
    return export_backbone(recipe, backbone, adapters, figures, control.folder / "bundle")


def _contrastive_job(
    recipe: PretrainingRecipe,
    backbone: Backbone,
    source: Source,
    validation: Validation,
    control: RunControl,
) -> ContrastiveJob:
    """Train a backbone's encoder alone for as long as the recipe says, and return the job for the rest."""
    table = recipe.contrast or ContrastTable()
    arguments = (backbone, source, validation, None, recipe.loss, table, recipe.seed)
    if table.encoder_steps:
        first = encoder_recipe(recipe)
        job = ContrastiveJob(*arguments, encoder_only=True)
        train(job, Uniform(1), first, control.within("encoder"), steps=first.steps)
    return ContrastiveJob(*arguments)


def joint_bank(recipe: PretrainingRecipe, backbone: Backbone, names: Sequence[str]) -> AdapterBank:
    """Give a backbone one LoRA per degradation on its linear layers, and leave it trainable itself."""
    linear = {path: layer for path, layer in backbone.named_modules() if type(layer) is torch.nn.Linear}
    targets = eligible_layers("lora", linear, backbone.adaptable_layers())
    if not targets:
        raise RecipeError(
            f"backbone {recipe.backbone!r} has no linear layers for adapters beside it; set joint_rank = 0"
        )
    config = LoraConfig(rank=recipe.joint_rank, alpha=float(recipe.joint_rank), targets=targets)
    bank = AdapterBank(backbone)
    generator = torch.Generator().manual_seed(recipe.seed)
    for name in names:
        bank.create(name, config, generator)
    backbone.requires_grad_(True)
    return bank


def _shrink(recipe: PretrainingRecipe, folder: Path) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "backbone_options": tiny_backbone_options(recipe.backbone),
        "start_from": "",
        "joint_rank": min(recipe.joint_rank, TINY_RANK),
    }
    if recipe.contrast is not None:
        small = {"encoder_steps": min(recipe.contrast.encoder_steps, 2), "crop_px": _TINY_CROP_PX}
        changes["contrast"] = recipe.contrast.model_copy(update=small)
    return changes


PRETRAINING = Phase(PretrainingRecipe, pretrain, _shrink)
