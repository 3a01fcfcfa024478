"""Run a recipe: build what its phase trains, train it, and write the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from polyrestore.errors import RecipeError, needs_extra
from polyrestore.training.loop.control import RunControl
from polyrestore.training.loop.events import OnEvent, StopWhen, ignore, never
from polyrestore.training.phases.registry import PHASES
from polyrestore.training.reading import load_recipe
from polyrestore.training.recipes.memory import require_memory_for
from polyrestore.training.recipes.names import check_options, check_trained
from polyrestore.training.recipes.recipe import (
    AdapterRecipe,
    GenerativeRecipe,
    Recipe,
    RecogniserRecipe,
    SamplesRecipe,
)
from polyrestore.training.recipes.set_check import refuse_duplicates
from polyrestore.training.tiny import tiny_recipe


def run_recipe(
    recipe_path: Path,
    *,
    output_folder: Path | None = None,
    resume: bool = True,
    overrides: Sequence[str] = (),
    tiny: bool = False,
    on_event: OnEvent = ignore,
    stop_when: StopWhen = never,
) -> Path:
    """Train as a recipe says and return the folder of the resulting bundle.

    Args:
        recipe_path: a TOML file, see ``recipes/``.
        output_folder: where checkpoints, the log and the bundle go; ``runs/<recipe name>`` when None.
        resume: go on from the newest checkpoint in the output folder.
        overrides: changes to the recipe such as ``steps=100``.
        tiny: a few steps of a tiny network on generated images instead, to see that the recipe runs.
        on_event: told what happens; see :mod:`polyrestore.training.loop.events`.
        stop_when: asked after every step whether to save a checkpoint and stop.

    Raises:
        RecipeError: the recipe has an unknown key or a value that does not fit.
        DataError: images are missing or do not pair up.
        MissingExtraError: a library that trains is not installed.
        TrainingError: a loss is not finite, or the output folder holds another run.
        StoppedError: ``stop_when`` said so.
    """
    with needs_extra("training", "train"):
        import accelerate  # noqa: F401
    recipe = load_recipe(recipe_path, overrides)
    recipe.check()
    _check_tasks(recipe)
    folder = output_folder or Path("runs") / (f"{recipe.name}-tiny" if tiny else recipe.name)
    torch.manual_seed(recipe.seed)
    if tiny:
        recipe = tiny_recipe(recipe, folder / "generated")
    require_memory_for(recipe)
    if recipe.data.check_duplicates:
        refuse_duplicates(recipe, folder)
    return PHASES[recipe.phase].train(recipe, RunControl(folder, resume, on_event, stop_when))


def _check_tasks(recipe: Recipe) -> None:
    data, synthesis = recipe.data, recipe.synthesis
    if data.sets and isinstance(recipe, RecogniserRecipe | SamplesRecipe | GenerativeRecipe):
        raise RecipeError(f'[[data.sets]] are not for phase "{recipe.phase}", which needs data.clean')
    if data.sets and synthesis.tasks:
        raise RecipeError("synthesis.tasks go with data.clean; with [[data.sets]] the sets name the tasks")
    if synthesis.task_shares and data.sampler != "task_shares":
        raise RecipeError(f"synthesis.task_shares are not used by sampler {data.sampler!r}; drop one of them")
    if isinstance(recipe, AdapterRecipe):
        check_options(recipe)
    # The sets name their tasks, which are known when they have been looked at; a bundle names its adapters.
    if not data.sets and not isinstance(recipe, RecogniserRecipe | SamplesRecipe):
        trained = recipe.adapters if isinstance(recipe, AdapterRecipe) else synthesis.tasks
        check_trained(recipe, trained or ())
    low, high = synthesis.severity
    if not 0 <= low <= high <= 1:
        raise RecipeError(f"synthesis.severity = [{low}, {high}] must be two values in [0, 1], in order")
