"""Every recipe that comes with the package runs, in small, and says where its facts are from."""

import json
from pathlib import Path

import pytest

from polyrestore.bundles import load_bundle
from polyrestore.training.reading import load_recipe
from polyrestore.training.recipes.recipe import AdapterRecipe, PretrainingRecipe
from polyrestore.training.run import run_recipe
from tests.support.recipes import load_kind

FOLDER = Path(__file__).parents[3] / "recipes"
RECIPES = sorted(path for path in FOLDER.rglob("*.toml") if not path.name.endswith(".part.toml"))
names = [str(path.relative_to(FOLDER)) for path in RECIPES]


@pytest.mark.parametrize("path", RECIPES, ids=names)
def test_it_runs_in_small(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    folder = run_recipe(path, output_folder=tmp_path / "out", tiny=True)
    bundle = load_bundle(str(folder))
    if isinstance(recipe, PretrainingRecipe):
        assert bundle.backbone.description.name == recipe.backbone
    if isinstance(recipe, AdapterRecipe):
        assert sorted(bundle.adapters) == sorted(recipe.adapters)
    events = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert sum(event["event"] == "losses" for event in events) == 4
    figures = [event for event in events if event["event"] == "validation"][-1]
    assert set(figures) > {"event", "step", "mean"}


@pytest.mark.parametrize("name", ["airnet-three-tasks", "transweather-allweather", "promptir-three-tasks"])
def test_the_recipes_with_art_differ_in_nothing_else(name: str) -> None:
    plain, art = (
        load_kind(PretrainingRecipe, FOLDER / "papers" / f"{each}.toml") for each in (name, f"{name}-art")
    )
    assert (plain.weighting.name, art.weighting.name) == ("uniform", "art")
    assert art.model_copy(update={"name": plain.name, "weighting": plain.weighting}) == plain
