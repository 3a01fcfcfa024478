"""The page on the method shows what its script draws, and what it says of the shipped bundle is so."""

from __future__ import annotations

import re
import tomllib
from math import prod
from pathlib import Path

import torch

from polyrestore.bundles import find_bundle
from polyrestore.errors import DataError
from polyrestore.storage.tensors import read_shapes
from polyrestore.training.weighting import WEIGHTINGS
from polyrestore.training.weighting.art import Art
from scripts import draw_method
from tests.test_readme import ROOT

PAGE = ROOT / "docs" / "method.md"
FIGURES = ROOT / "docs" / "figures"


def parameters(pattern: str) -> list[int]:
    shapes = [read_shapes(file, DataError, "") for file in sorted(find_bundle("default").glob(pattern))]
    return [sum(prod(shape) for shape in each.values()) for each in shapes]


def test_sizes_are_those_of_the_shipped_bundle() -> None:
    text = PAGE.read_text(encoding="utf-8")
    (backbone,) = parameters("backbone.safetensors")
    adapters = parameters("adapters/*/adapter_model.safetensors")
    assert f"{backbone / 1e6:.2f} million" in text
    assert f"{min(adapters) / 1e6:.2f} to {max(adapters) / 1e6:.2f} million" in re.sub(r"\s+", " ", text)
    assert len(WEIGHTINGS) == 8
    assert "one of eight strategies" in text
    recipe = tomllib.loads((ROOT / "recipes" / "pretraining.toml").read_text(encoding="utf-8"))
    assert recipe["weighting"]["name"] == "uniform"


def test_every_figure_is_there_and_small() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(figures/(method-\w+\.svg)\)", PAGE.read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(path.name for path in FIGURES.glob("method-*.svg"))
    for name in shown:
        assert (FIGURES / name).stat().st_size < 60_000


def test_the_script_draws_the_figures_that_are_there(tmp_path: Path) -> None:
    assert draw_method.main(["--output", str(tmp_path)]) == 0
    for path in FIGURES.glob("method-*.svg"):
        drawn = (tmp_path / path.name).read_text(encoding="utf-8")
        # Lines depend on the library's version; the words, and so the bundle's adapters, do not.
        words = [re.findall(r"<text[^>]*>([^<]+)</text>", each) for each in (drawn, path.read_text("utf-8"))]
        assert words[0] == words[1]
        assert len(words[0]) > 8


def test_the_worsening_loss_is_lifted_and_more_gently_at_a_higher_temperature() -> None:
    losses = draw_method.made_up_losses()
    lifted = []
    for temperature in (0.1, 2.0):
        strategy = Art(3, temperature=temperature)
        weights = torch.stack([strategy.weights(step, torch.ones(3, dtype=torch.bool)) for step in losses])
        lifted.append(float(weights[-60:, 1].mean() - weights[100:200, 1].mean()))
    assert lifted[0] > lifted[1] > 0
