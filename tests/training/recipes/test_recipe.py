from pathlib import Path

import pytest

from polyrestore.errors import NotationError, RecipeError
from polyrestore.training.reading import load_recipe
from polyrestore.training.recipes.recipe import PretrainingRecipe, WeightingTable
from tests.support.recipes import load_kind

RECIPES = Path(__file__).parents[3] / "recipes"
SHIPPED = sorted(path for path in RECIPES.glob("*.toml") if not path.name.endswith(".part.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path: Path) -> None:
    assert load_recipe(path).steps > 0


def test_the_shipped_weights_have_a_recipe_for_each_of_their_phases() -> None:
    phases = {"pretraining", "generative", "adapters", "encoder", "trunk", "veil"}
    assert {load_recipe(path).phase for path in SHIPPED} == phases


def test_paths_are_relative_to_the_recipe(workshop: Path) -> None:
    recipe = load_recipe(workshop / "pretraining.toml")
    assert isinstance(recipe, PretrainingRecipe)
    assert recipe.data.clean == (workshop / "clean",)


def test_overrides_replace_values(workshop: Path) -> None:
    changes = ["steps=9", "optimiser.learning_rate=1e-4", "name=other"]
    recipe = load_recipe(workshop / "pretraining.toml", changes)
    assert (recipe.steps, recipe.optimiser.learning_rate, recipe.name) == (9, 1e-4, "other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("stepz=3", "unknown key 'stepz'; did you mean 'steps'"),
        ("optimiser.learning_rat=3", "unknown key 'optimiser.learning_rat'; did you mean 'learning_rate'"),
        ("steps=0", "steps = 0"),
        ("phase=training", "phase must be one of pretraining, generative, adapters, recogniser"),
        ("data.batch_size=many", "data.batch_size = 'many'"),
        ("steps", "not of the form key=value"),
    ],
)
def test_mistakes_are_named(workshop: Path, change: str, message: str) -> None:
    with pytest.raises((RecipeError, NotationError)) as caught:
        load_recipe(workshop / "pretraining.toml", [change])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_or_malformed_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        load_recipe(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("steps = = 3")
    with pytest.raises(RecipeError, match="not valid TOML"):
        load_recipe(tmp_path / "bad.toml")


def test_a_recipe_can_change_another_one_beside_it(workshop: Path) -> None:
    (workshop / "art.toml").write_text(
        'base = "pretraining.toml"\nname = "art"\n[weighting]\noptions = { temperature = 0.5 }\n'
    )
    first = load_recipe(workshop / "pretraining.toml")
    second = load_kind(PretrainingRecipe, workshop / "art.toml", ["seed=9"])
    assert second.weighting == WeightingTable(name="art", options={"temperature": 0.5})
    assert (second.name, second.seed, second.data) == ("art", 9, first.data)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('base = "../other.toml"', "same folder"),
        ("base = 3", "same folder"),
        ('base = "child.toml"', "leads back"),
        ('base = "nowhere.toml"', "cannot read the recipe .*nowhere"),
    ],
)
def test_a_base_that_is_none_is_refused(workshop: Path, content: str, problem: str) -> None:
    (workshop / "child.toml").write_text(content)
    with pytest.raises(RecipeError, match=problem):
        load_recipe(workshop / "child.toml")


def test_unknown_keys_of_optional_tables_are_named_with_the_nearest(workshop: Path) -> None:
    with pytest.raises(RecipeError, match="contrast.crop_pixels.*crop_px"):
        load_recipe(workshop / "pretraining.toml", ["contrast.crop_pixels=3"])


def test_several_bases_lie_over_each_other_in_order(workshop: Path) -> None:
    (workshop / "network.part.toml").write_text("steps = 11\n[backbone_options]\nwidth = 4\n")
    (workshop / "both.toml").write_text('base = ["pretraining.toml", "network.part.toml"]\nseed = 3\n')
    recipe = load_kind(PretrainingRecipe, workshop / "both.toml")
    assert (recipe.steps, recipe.seed, recipe.backbone_options["width"]) == (11, 3, 4)
    assert recipe.backbone_options["middle_blocks"] == 1
