from pathlib import Path
from typing import Any, Literal

import pytest

from polyrestore.errors import RecipeError
from polyrestore.training.loop.control import RunControl
from polyrestore.training.phases.base import Phase
from polyrestore.training.phases.registry import PHASES
from polyrestore.training.reading import load_recipe
from polyrestore.training.recipes.recipe import Recipe
from polyrestore.training.run import run_recipe


class CountingRecipe(Recipe):
    phase: Literal["counting"]
    goal: int = 3


def count(recipe: CountingRecipe, control: RunControl) -> Path:
    control.folder.mkdir(parents=True, exist_ok=True)
    (control.folder / "counted").write_text(str(recipe.goal))
    return control.folder


def shrink(recipe: CountingRecipe, folder: Path) -> dict[str, Any]:
    return {"goal": 1}


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch, workshop: Path) -> Path:
    monkeypatch.setitem(PHASES, "counting", Phase(CountingRecipe, count, shrink))
    path = workshop / "counting.toml"
    path.write_text(
        'phase = "counting"\nname = "count"\nsteps = 1\ngoal = 7\n'
        '[data]\nclean = ["clean"]\nvalidation = "held-out"\n'
    )
    return path


def test_another_phase_is_one_registry_line(recipe: Path, tmp_path: Path) -> None:
    loaded = load_recipe(recipe)
    assert isinstance(loaded, CountingRecipe)
    folder = run_recipe(recipe, output_folder=tmp_path / "a", overrides=["data.check_duplicates=false"])
    assert (folder / "counted").read_text() == "7"
    assert (run_recipe(recipe, output_folder=tmp_path / "b", tiny=True) / "counted").read_text() == "1"


def test_its_keys_are_checked_like_those_of_the_others(recipe: Path) -> None:
    with pytest.raises(RecipeError, match="unknown key 'goall'; did you mean 'goal'"):
        load_recipe(recipe, ["goall=3"])
    with pytest.raises(RecipeError, match="phase must be one of .*counting, not 'pretrain'"):
        load_recipe(recipe, ["phase=pretrain"])
