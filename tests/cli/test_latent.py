"""A diffusion model on the command line: imported, restoring, trained on, and refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from polyrestore.backbones import BorrowsModel
from polyrestore.bundles import load_bundle
from polyrestore.imaging import read_image
from tests.cli.conftest import Outcome
from tests.support.latent_models import offline, save_model

RECIPE = """
phase = "adapters"
name = "adapters"
steps = 2
bundle = "./imported"
backbone = "latent"
adapters = ["noise", "jpeg"]
loss = "l1+structure"

[data]
clean = ["in"]
validation = "in"
check_duplicates = false
patch_px = 16
batch_size = 2
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "sd-tiny")


def test_from_a_folder_to_restored_photographs(
    call: Callable[..., Outcome], model: Path, photographs: Path, tmp_path: Path
) -> None:
    options = ("--set", "timestep=400", "--set", "skips=false", "--licence", "MIT")
    outcome = call("import", f"{model}/", "-o", tmp_path / "imported", *options)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert "latent" in outcome.out
    assert "timestep 400" in outcome.out
    assert load_bundle(tmp_path / "imported").name == "sd-tiny"
    arguments = ("restore", photographs, "-o", tmp_path / "out", "--bundle", tmp_path / "imported")
    outcome = call(*arguments)
    assert outcome.code == 0, outcome.err
    assert "2 restored" in outcome.out
    one = read_image(tmp_path / "out" / "a.png").pixels
    assert "2 skipped" in call(*arguments).out
    # Another number of steps is another result, and is not taken for a finished one.
    outcome = call(*arguments, "--steps", "3")
    assert "2 restored" in outcome.out, outcome.err
    assert not read_image(tmp_path / "out" / "a.png").pixels.equal(one)


def test_loras_are_trained_beside_it(
    call: Callable[..., Outcome], model: Path, photographs: Path, tmp_path: Path
) -> None:
    assert call("import", model, "-o", tmp_path / "imported").code == 0
    (tmp_path / "recipe.toml").write_text(RECIPE)
    outcome = call("train", tmp_path / "recipe.toml", "-o", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    folder = tmp_path / "run" / "bundle"
    bundle = load_bundle(folder)
    imported = load_bundle(tmp_path / "imported")
    assert isinstance(bundle.backbone, BorrowsModel)
    assert isinstance(imported.backbone, BorrowsModel)
    assert bundle.backbone.reference() == imported.backbone.reference()
    config = json.loads((folder / "adapters" / "noise" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(model)
    arguments = (
        "restore",
        photographs,
        "-o",
        tmp_path / "out",
        "--bundle",
        folder,
        "--as",
        "noise=0.6,jpeg=0.4",
    )
    outcome = call(*arguments)
    assert outcome.code == 0, outcome.err
    assert "2 restored" in outcome.out


def test_steps_are_only_for_backbones_that_take_them(
    call: Callable[..., Outcome], bundle: str, photographs: Path, tmp_path: Path
) -> None:
    outcome = call("restore", photographs, "-o", tmp_path / "out", "--bundle", bundle, "--steps", "4")
    assert outcome.code == 1
    assert outcome.err == "error: backbone 'compact' restores in one pass; it takes no number of steps\n"
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_used_is_one_line(
    call: Callable[..., Outcome],
    model: Path,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    (tmp_path / "empty").mkdir()
    assert call("import", model, "-o", tmp_path / "imported").code == 0
    for arguments in (
        ("import", tmp_path / "empty", "-o", tmp_path / "out"),
        ("import", "nobody/no-such-model", "-o", tmp_path / "out"),
        ("import", model, "-o", tmp_path / "out", "--set", "timestep=4000"),
        ("import", model, "-o", tmp_path / "out", "--set", "timesteps=4"),
        (
            "restore",
            photographs,
            "-o",
            tmp_path / "out",
            "--bundle",
            tmp_path / "imported",
            "--steps",
            "1000",
        ),
    ):
        outcome = call(*arguments)
        assert outcome.code == 1, arguments
        assert outcome.err.startswith("error: ")
        assert outcome.err.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_it_is_listed_without_a_model(call: Callable[..., Outcome]) -> None:
    entries = {
        entry["name"]: entry for entry in json.loads(call("list", "backbones", "--json").out)["entries"]
    }
    assert entries["latent"]["parameters"] is None
    assert entries["latent"]["options"]["steps"] == 1
    assert "prompt" not in entries["latent"]["options"]
    assert "the model's" in call("list", "backbones").out
