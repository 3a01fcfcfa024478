"""From a recipe to the batches it describes."""

from __future__ import annotations

from torch import Tensor

from polyrestore.data import BatchSource, Pair, Synthesis, align_pair, load_burst, load_pairs
from polyrestore.training.recipe import DataTable, Recipe


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
        seed=recipe.seed,
        pairs=pairs,
        pair_share=data.pair_share,
        vary_light=data.vary_light,
    )


def synthesis_of(recipe: Recipe, tasks: tuple[str, ...], partners: tuple[str, ...] = ()) -> Synthesis:
    """Return the synthesis of a recipe for some tasks; partners join them in mixtures."""
    return Synthesis(**{**recipe.synthesis.model_dump(), "tasks": tasks, "partners": partners})


def load_real_pairs(data: DataTable) -> dict[str, list[Pair]]:
    """Read the pairs and bursts of a recipe, by task."""
    pairs: dict[str, list[Pair]] = {}
    for name, folders in data.pairs.items():
        found = [pair for folder in folders for pair in load_pairs(folder)]
        pairs[name] = [align_pair(pair) for pair in found] if name in data.aligned else found
    for name, folders in data.bursts.items():
        pairs.setdefault(name, []).extend(pair for folder in folders for pair in load_burst(folder))
    return pairs
