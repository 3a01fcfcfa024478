"""Phase 2: one adapter per degradation beside a frozen backbone (AdaIR, arXiv 2404.11475)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from polyrestore.adapters import Adapter, AdapterBank, AdapterConfig, LoraConfig
from polyrestore.adapters.registry import adapter_kind
from polyrestore.backbones import Backbone
from polyrestore.backbones.layers import use_channels_last
from polyrestore.bundles import load_bundle, save_bundle
from polyrestore.data import load_clean
from polyrestore.data.images import Pair
from polyrestore.errors import AdapterError, RecipeError
from polyrestore.training.export import extended_info, training_record
from polyrestore.training.loop import train
from polyrestore.training.recipe import AdapterRecipe
from polyrestore.training.restoration_job import RestorationJob
from polyrestore.training.sources import batch_source, load_real_pairs, synthesis_of
from polyrestore.training.validation import ValidationSet
from polyrestore.training.weighting import build_weighting


def train_adapters(recipe: AdapterRecipe, folder: Path, resume: bool) -> Path:
    """Train a recipe's adapters one after another and return the bundle with all of them.

    The bundle is written anew after each adapter, so that a killed run loses at most the one it was at.
    """
    bundle = load_bundle(recipe.bundle)
    configs = {name: adapter_config(recipe, name) for name in recipe.adapters}
    clean = load_clean(recipe.data.clean)
    held_out = load_clean([recipe.data.validation])
    pairs = load_real_pairs(recipe.data)
    use_channels_last(bundle.backbone)
    bank = AdapterBank(bundle.backbone)
    for name in recipe.adapters:
        adapter, figures = _train_one(
            recipe,
            name,
            configs[name],
            bank,
            bundle.adapters.get(name),
            clean,
            held_out,
            pairs,
            folder / name,
            resume,
        )
        bundle.adapters[name] = adapter
        record = training_record(recipe, figures)
        info = extended_info(bundle.info, recipe, f"adapter {name}", record)
        info = info.model_copy(update={"summary": "A backbone with one light adapter per degradation."})
        bundle.info = info
        save_bundle(folder / "bundle", bundle, dtype=torch.float32)
    return folder / "bundle"


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


def continue_from(bank: AdapterBank, name: str, start: Adapter) -> None:
    """Let a new adapter start where an older one of fewer layers or, for LoRA, of a smaller rank ended.

    Raises:
        AdapterError: the older one is of another kind, of a larger rank, or has other layers.
    """
    fresh = bank.export(name)
    tensors = dict(fresh.tensors)
    ratio = _scaling(start) / _scaling(fresh)
    for key, old in start.tensors.items():
        if key not in tensors or not _fits_into(old, tensors[key]):
            raise AdapterError(
                f"adapter {name!r} cannot go on from the one in the bundle: another kind, a larger rank or "
                "other layers"
            )
        corner = tuple(slice(0, length) for length in old.shape)
        tensors[key][corner] = old * ratio if key.endswith("lora_B.weight") else old
    bank.remove(name)
    bank.add(replace(fresh, tensors=tensors))


def _fits_into(old: torch.Tensor, new: torch.Tensor) -> bool:
    return old.dim() == new.dim() and all(o <= n for o, n in zip(old.shape, new.shape, strict=True))


def _scaling(adapter: Adapter) -> float:
    config = adapter.config
    return config.alpha / config.rank if isinstance(config, LoraConfig) else 1.0


def _train_one(
    recipe: AdapterRecipe,
    name: str,
    config: AdapterConfig,
    bank: AdapterBank,
    start: Adapter | None,
    clean: list[torch.Tensor],
    held_out: list[torch.Tensor],
    pairs: dict[str, list[Pair]],
    folder: Path,
    resume: bool,
) -> tuple[Adapter, dict[str, float]]:
    backbone = bank.backbone
    assert isinstance(backbone, Backbone)
    bank.create(name, config, torch.Generator().manual_seed(recipe.seed))
    try:
        if start is not None:
            continue_from(bank, name, start)
        synthesis = synthesis_of(recipe, (name,), partners=recipe.synthesis.tasks)
        source = batch_source(recipe, synthesis, clean, {name: pairs[name]} if name in pairs else {})
        job = RestorationJob(backbone, source, ValidationSet(held_out, (name,)))
        bank.activate({name: 1.0})
        before = job.validate()[name]
        weighting = build_weighting("uniform", 1)
        steps = recipe.steps_for.get(name, recipe.steps)
        figures = train(job, weighting, recipe, folder, steps=steps, resume=resume)
        return bank.export(name), {"before": before, "after": figures[name]}
    finally:
        bank.remove(name)
