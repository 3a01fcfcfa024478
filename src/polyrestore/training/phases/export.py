"""Turn what a phase trained into a bundle that remembers how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from polyrestore.adapters import Adapter
from polyrestore.backbones import Backbone
from polyrestore.bundles import Bundle, BundleInfo, save_bundle
from polyrestore.training.recipes.recipe import BackboneRecipe, Recipe


def training_record(recipe: Recipe, figures: Mapping[str, float]) -> dict[str, Any]:
    """Return the recipe, the library version and the validation figures as plain JSON values.

    Folders are reduced to their last two parts: where the data lay on one machine helps nobody.
    """
    content = json.loads(recipe.model_dump_json())
    data = content["data"]
    data["clean"] = [_short(path) for path in data["clean"]]
    for key in ("held_back", "labelled", "validation_labelled"):
        if key in data:
            data[key] = [_short(path) for path in data[key]]
    if data["validation"] is not None:
        data["validation"] = _short(data["validation"])
    for table in (*data["sets"], *data["validation_sets"]):
        table.update({key: _short(table[key]) for key in ("folder", "shards") if table[key] is not None})
    for table in ("pairs", "bursts", "validation_pairs"):
        data[table] = {name: [_short(path) for path in paths] for name, paths in data[table].items()}
    for source in ("bundle", "start_from", "pretrained"):
        if content.get(source):
            content[source] = _short(content[source])
    return {"recipe": content, "torch": torch.__version__, "validation_psnr": dict(figures)}


def extended_info(info: BundleInfo, recipe: Recipe, key: str, record: Mapping[str, Any]) -> BundleInfo:
    """Add a phase's record and data sources to what a bundle says about its origin."""
    provenance = dict.fromkeys((*info.provenance, *recipe.data.provenance))
    return info.model_copy(
        update={"provenance": tuple(provenance), "training": {**info.training, key: dict(record)}}
    )


def export_backbone(
    recipe: BackboneRecipe,
    backbone: Backbone,
    adapters: Mapping[str, Adapter],
    figures: Mapping[str, float],
    folder: Path,
) -> Path:
    """Write a pre-trained backbone and its first adapters as a float32 bundle, and return its folder."""
    info = BundleInfo(licence=recipe.licence, summary="A pre-trained backbone, before its adapters.")
    info = extended_info(info, recipe, recipe.phase, training_record(recipe, figures))
    return save_trained(folder, Bundle(recipe.name, backbone, adapters=dict(adapters), info=info))


def save_trained(folder: Path, bundle: Bundle) -> Path:
    """Write a bundle in float32 from the main process, while the others wait; return its folder."""
    from accelerate import PartialState

    # Asked for as the loop does: whoever comes first decides how the processes find each other.
    state = PartialState(cpu=not torch.cuda.is_available())
    if state.is_main_process:
        save_bundle(folder, bundle, dtype=torch.float32)
    state.wait_for_everyone()
    return folder


def _short(path: str) -> str:
    return "/".join(Path(path).parts[-2:])
