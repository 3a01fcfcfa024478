"""AdaIR's recipes say how large their adapters are, and that is how large they are."""

import re
from pathlib import Path

import pytest
import torch

from polyrestore.adapters import AdapterBank
from polyrestore.backbones import build_backbone
from polyrestore.training.phases.adapters import adapter_config
from polyrestore.training.reading import load_recipe
from polyrestore.training.recipes.recipe import AdapterRecipe
from tests.support.recipes import load_kind

FOLDER = Path(__file__).parents[3] / "recipes" / "papers"


@pytest.mark.parametrize(
    ("name", "parameters"), [("adair-adapters", 2_624_208), ("adair-adapters-lora", 1_913_472)]
)
def test_the_size_in_the_recipe_is_that_of_the_adapter(name: str, parameters: int) -> None:
    path = FOLDER / f"{name}.toml"
    recipe = load_kind(AdapterRecipe, path)
    with torch.device("meta"):
        assert recipe.backbone is not None
        backbone = build_backbone(recipe.backbone)
    bank = AdapterBank(backbone)
    bank.create("noise", adapter_config(recipe, "noise"), torch.Generator())
    assert sum(parameter.numel() for parameter in bank.parameters("noise")) == parameters
    stated = re.search(r"([\d,]{9}) parameters", path.read_text(encoding="utf-8"))
    assert stated is not None
    assert stated[1] == f"{parameters:,}"


def test_the_two_differ_in_the_adapters_alone() -> None:
    convolutional, lora = (load_recipe(FOLDER / f"adair-adapters{kind}.toml") for kind in ("", "-lora"))
    changes = {name: getattr(lora, name) for name in ("name", "kind", "adapter_options")}
    assert convolutional.model_copy(update=changes) == lora
