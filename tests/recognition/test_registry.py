"""A kind of recogniser is a class and one line: a third one is saved, loaded and used as the others are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.bundles import load_bundle, save_bundle
from polyrestore.errors import BundleError, RecognitionError, UnknownNameError
from polyrestore.imaging import ImageMetadata, write_image
from polyrestore.recognition import (
    RECOGNISERS,
    BaseRecogniser,
    Reading,
    Reference,
    build_recogniser,
)
from polyrestore.restoration.restorer import Restorer
from polyrestore.training.run import run_recipe
from polyrestore.training.tiny import generated_photograph
from tests.support.tiny_bundle import save_tiny_bundle


class MeanColour(BaseRecogniser):
    """Embeds the mean colour; one line in the registry is all that the package is told of it."""

    kind = "mean-colour"

    def __init__(self, dimension: int = 16) -> None:
        super().__init__()
        self.options = {"dimension": dimension}
        self.dimension = dimension
        self.linear = nn.Linear(3, dimension)

    def embed(self, image: Tensor) -> Tensor:
        return functional.normalize(self.linear(image.mean((2, 3))), dim=1)

    def read(self, image: Tensor) -> Reading:
        return Reading(self.embed(image)[0], {"noise": 0.25})


class Elsewhere(MeanColour):
    """Its weights stay outside of the bundle."""

    kind = "elsewhere"
    external = True

    @classmethod
    def open(cls, reference: Reference, options: Mapping[str, Any]) -> Elsewhere:
        opened = cls(**options)
        if reference.path != "far":
            raise RecognitionError(f"nothing is at {reference.path}")
        nn.init.constant_(opened.linear.weight, 0.5)
        return opened

    def reference(self) -> Reference:
        return Reference("far", "0" * 64)


@pytest.fixture(autouse=True)
def third_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECOGNISERS, "mean-colour", MeanColour)
    monkeypatch.setitem(RECOGNISERS, "elsewhere", Elsewhere)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny_bundle(tmp_path / "tiny")


def save_with(recogniser: BaseRecogniser, folder: Path, target: Path) -> Path:
    bundle = load_bundle(folder)
    bundle.recogniser = recogniser
    return save_bundle(target, bundle, dtype=torch.float32)


def test_every_kind_is_listed_under_its_own_name() -> None:
    assert {name: kind.kind for name, kind in RECOGNISERS.items()} == {name: name for name in RECOGNISERS}


def test_a_third_kind_is_saved_loaded_and_used(folder: Path, tmp_path: Path) -> None:
    made = build_recogniser("mean-colour", dimension=16)
    saved = save_with(made, folder, tmp_path / "third")
    entry = json.loads((saved / "model.json").read_text())["recogniser"]
    assert entry == {
        "kind": "mean-colour",
        "options": {"dimension": 16},
        "source": None,
        "shared": None,
    }
    loaded = load_bundle(saved)
    image = torch.rand(3, 40, 50)
    assert isinstance(loaded.recogniser, MeanColour)
    with torch.no_grad():
        assert torch.equal(loaded.recogniser.embed(image[None]), made.embed(image[None]))
    recognition = Restorer(loaded).recognise(image)
    assert recognition.severities == {"noise": 0.25}
    assert set(recognition.probabilities) == {*loaded.adapters, "clean"}


def test_a_kind_that_keeps_its_weights_elsewhere_is_referred_to(folder: Path, tmp_path: Path) -> None:
    saved = save_with(Elsewhere(), folder, tmp_path / "far")
    assert not (saved / "recogniser.safetensors").exists()
    loaded = load_bundle(saved).recogniser
    assert loaded is not None
    assert float(loaded.get_parameter("linear.weight").detach().mean()) == 0.5
    manifest = saved / "model.json"
    manifest.write_text(manifest.read_text().replace('"far"', '"lost"'))
    with pytest.raises(BundleError, match="nothing is at lost"):
        load_bundle(saved)


def test_an_unknown_kind_and_unknown_options_are_one_line(folder: Path, tmp_path: Path) -> None:
    saved = save_with(MeanColour(), folder, tmp_path / "third")
    manifest = saved / "model.json"
    manifest.write_text(manifest.read_text().replace('"mean-colour"', '"mean-color"'))
    with pytest.raises(BundleError, match="mean-colour"):
        load_bundle(saved)
    with pytest.raises(UnknownNameError, match="mean-colour"):
        build_recogniser("mean-color")
    with pytest.raises(RecognitionError, match="cannot be built"):
        build_recogniser("mean-colour", length=3)


def test_a_third_kind_is_trained_by_a_recipe(folder: Path, tmp_path: Path) -> None:
    """The recogniser phase trains whatever embeds, and the bundle that comes of it recognises with it."""
    for place in ("clean", "validation"):
        for index in range(3):
            path = tmp_path / place / f"{index}.png"
            write_image(path, generated_photograph(index + 3 * len(place), (48, 48)), ImageMetadata())
    recipe = tmp_path / "third.toml"
    recipe.write_text(
        f"""
        phase = "recogniser"
        name = "third"
        bundle = "{folder}"
        recogniser = "mean-colour"
        recogniser_options = {{ dimension = 8 }}
        steps = 2
        [data]
        clean = ["clean"]
        validation = "validation"
        patch_px = 32
        batch_size = 2
        check_duplicates = false
        """
    )
    trained = load_bundle(run_recipe(recipe, output_folder=tmp_path / "run"))
    assert isinstance(trained.recogniser, MeanColour)
    assert trained.recogniser.options == {"dimension": 8}
    assert {name: len(each) for name, each in trained.prototypes.items()} == dict.fromkeys(
        [*trained.adapters, "clean"], 8
    )
    assert Restorer(trained).recognise(torch.rand(3, 40, 40)).probabilities
