"""Phase 2: one adapter per degradation beside a frozen backbone (AdaIR, arXiv 2404.11475)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from polyrestore.adapters import Adapter, AdapterBank, AdapterConfig, adaptable_layers, grow_adapter
from polyrestore.adapters.registry import adapter_kind
from polyrestore.backbones.layers import use_channels_last
from polyrestore.bundles import load_bundle
from polyrestore.data import OneCompositionSource, OneTaskSource, Source, TaskSource, load_clean
from polyrestore.errors import AdapterError, RecipeError
from polyrestore.recognition import full_normalisation
from polyrestore.training.loop.control import RunControl
from polyrestore.training.loop.train import train
from polyrestore.training.phases.base import Phase
from polyrestore.training.phases.export import extended_info, save_trained, training_record
from polyrestore.training.phases.restoration_job import RestorationJob
from polyrestore.training.phases.shrinking import save_tiny_bundle
from polyrestore.training.recipes.batches import (
    batch_source,
    load_real_pairs,
    synthesis_of,
    training_source,
)
from polyrestore.training.recipes.recipe import AdapterRecipe
from polyrestore.training.validation.crops import Validation
from polyrestore.training.validation.tasks import held_out_crops, validation_of
from polyrestore.training.weighting import build_weighting


def train_adapters(recipe: AdapterRecipe, control: RunControl) -> Path:
    """Train a recipe's adapters and return the bundle with all of them.

    Each batch trains one adapter on its own degradation, or several at equal weights on their mixture: the
    adapters share no parameters, but those that act together later have done so before.
    """
    bundle = load_bundle(recipe.bundle)
    backbone = bundle.backbone
    held = backbone.description.name
    if recipe.backbone not in ("", held):
        raise RecipeError(f"the backbone of {recipe.bundle} is {held!r}, not {recipe.backbone!r}")
    use_channels_last(backbone)
    bank = AdapterBank(backbone)
    for name in recipe.adapters:
        generator = torch.Generator().manual_seed(recipe.seed)
        bank.create(name, adapter_config(recipe, name), generator)
        if name in bundle.adapters:
            continue_from(bank, name, bundle.adapters[name], generator)
    source, held_out = _sources(recipe)
    job = RestorationJob(backbone, source, held_out, bank, recipe.loss)
    before = job.validate()
    weighting = build_weighting("uniform", len(job.tasks))
    after = train(job, weighting, recipe, control, steps=recipe.steps)
    info = bundle.info
    for name in recipe.adapters:
        bundle.adapters[name] = bank.export(name)
        measured = [task for task, acting in held_out.degradations().items() if name in acting]
        figures = {
            when: round(sum(values[task] for task in measured) / max(1, len(measured)), 3)
            for when, values in (("before", before), ("after", after))
        }
        record = training_record(recipe, figures if measured else {})
        info = extended_info(info, recipe, f"adapter {name}", record)
    bank.detach()
    if recipe.mixture_weights == "full":
        settings = bundle.recognition_settings
        normalisation = full_normalisation(bundle.activation)
        bundle.recognition_settings = {**settings, "normalisation": normalisation}
    summary = "A backbone with one light adapter per degradation."
    bundle.info = info.model_copy(update={"summary": summary})
    return save_trained(control.folder / "bundle", bundle)


def _sources(recipe: AdapterRecipe) -> tuple[Source, Validation]:
    """Return batches of one composition each, and what is held back.

    Raises:
        RecipeError: no task needs one of the adapters, or a task needs none of them.
    """
    if not recipe.data.sets:
        synthesis = synthesis_of(recipe, recipe.adapters)
        clean = load_clean(recipe.data.clean)
        source = batch_source(recipe, synthesis, clean, load_real_pairs(recipe.data))
        held_out = held_out_crops(recipe.data, recipe.adapters)
        return OneCompositionSource(source, recipe.mixture_weights, recipe.bystander_share), held_out
    tasks = training_source(recipe)
    assert isinstance(tasks, TaskSource)
    for name in recipe.adapters:
        if name not in tasks.names:
            shown = ", ".join(tasks.names)
            raise RecipeError(f"no set has samples for adapter {name!r}; they are of {shown}")
    for task in tasks.task_list:
        if not set(task.degradations) & set(recipe.adapters):
            acting = "+".join(task.degradations)
            raise RecipeError(
                f"no adapter is trained on task {task.name!r} ({acting}); add one or drop the task"
            )
    return OneTaskSource(tasks), validation_of(recipe, tasks)


def adapter_config(recipe: AdapterRecipe, name: str) -> AdapterConfig:
    """Build the configuration of one of a recipe's adapters.

    Raises:
        UnknownNameError: there is no such kind.
        RecipeError: the kind does not take one of the options.
    """
    config_class = adapter_kind(recipe.kind).config_class
    try:
        return config_class(**{**recipe.adapter_options, **recipe.options_for.get(name, {})})
    except (TypeError, AdapterError) as error:
        problem = f"the options of adapter {name!r} do not fit kind {recipe.kind!r}: {error}"
        raise RecipeError(problem) from error


def continue_from(bank: AdapterBank, name: str, start: Adapter, generator: torch.Generator) -> None:
    """Let a new adapter start where a smaller one ended.

    Layers that the older one named itself, such as the gate of a veil, are taken over.

    Raises:
        AdapterError: the older one is of another kind, is larger somewhere, or has other layers.
    """
    fresh = bank.export(name)
    own, offered = set(fresh.config.targets or ()), adaptable_layers(bank.backbone).offered
    asked = {path for path in start.config.targets or () if not offered(path)}
    if not asked <= own:
        bank.remove(name)
        bank.create(name, replace(fresh.config, targets=tuple(sorted(own | asked))), generator)
        fresh = bank.export(name)
    grown = grow_adapter(fresh, start)
    bank.remove(name)
    bank.add(grown)


def _shrink(recipe: AdapterRecipe, folder: Path) -> dict[str, Any]:
    shrink = adapter_kind(recipe.kind).config_class.shrink_options
    return {
        "bundle": str(save_tiny_bundle(recipe.backbone or "compact", folder / "bundle")),
        "adapter_options": shrink(recipe.adapter_options),
        "options_for": {name: shrink(options) for name, options in recipe.options_for.items()},
    }


ADAPTERS = Phase(AdapterRecipe, train_adapters, _shrink)
