"""Bundles whose backbone runs on another model: they name it, and say at once when it is not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from polyrestore.adapters import AdapterBank, LoraConfig
from polyrestore.backbones import BaseReference, BorrowsModel, Stepped
from polyrestore.backbones.latent import parts
from polyrestore.backbones.latent.model_files import MODELS_VARIABLE
from polyrestore.bundles import Bundle, import_checkpoint, load_bundle, save_bundle
from polyrestore.bundles.fingerprint import fingerprint
from polyrestore.errors import BackboneError, BundleError, CheckpointError
from polyrestore.restoration.restorer import Restorer
from polyrestore.runtimes.torch import TorchRuntime
from tests.support.latent_models import offline, save_model
from tests.support.networks import random_image


def skip_of(bundle: Bundle) -> Tensor:
    """Return the weights of the first skip that the bundle adds to its model."""
    return bundle.backbone.get_parameter("skips.0.weight")


def reference_of(bundle: Bundle) -> BaseReference:
    assert isinstance(bundle.backbone, BorrowsModel)
    reference = bundle.backbone.reference()
    assert reference is not None
    return reference


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and a bundle on it with an adapter and skips that are not zero."""
    folder = tmp_path_factory.mktemp("place")
    save_model(folder / "model")
    import_checkpoint(str(folder / "model"), folder / "imported", options={"timestep": 500})
    bundle = load_bundle(folder / "imported")
    with torch.no_grad():
        skip_of(bundle).normal_(generator=torch.Generator().manual_seed(0))
    bank = AdapterBank(bundle.backbone)
    bank.create("noise", LoraConfig(rank=2), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in bank.parameters("noise"):
            parameter.add_(0.05)
    bundle.adapters["noise"] = bank.export("noise")
    # Saved with its adapter attached: the bundle holds the bare weights all the same.
    bank.merge({"noise": 1.0})
    save_bundle(folder / "bundle", bundle, dtype=torch.float32)
    return folder


@pytest.fixture
def copied(place: Path, tmp_path: Path) -> Path:
    """A copy of the bundle's folder and of its model, which the copy finds by name."""
    for name in ("model", "bundle"):
        shutil.copytree(place / name, tmp_path / name)
    manifest = tmp_path / "bundle" / "model.json"
    manifest.write_text(manifest.read_text().replace(str(place / "model"), str(tmp_path / "model")))
    return tmp_path


def test_the_base_is_named_and_not_copied(place: Path) -> None:
    bundle, image = load_bundle(place / "bundle"), random_image(32, 40)
    held = sum(path.stat().st_size for path in (place / "bundle").rglob("*.safetensors"))
    assert held < 0.5 * reference_of(bundle).size_bytes
    entry = json.loads((place / "bundle" / "model.json").read_text())["backbone"]
    assert entry["options"]["timestep"] == 500
    assert entry["reference"] == vars(reference_of(bundle))
    assert entry["reference"]["sha256"] in (place / "bundle" / "README.md").read_text()
    with torch.no_grad():
        assert skip_of(bundle).abs().max() > 0.1
        bare = load_bundle(place / "imported")
        skip_of(bare).copy_(skip_of(bundle))
        assert torch.equal(bundle.backbone(image), bare.backbone(image))


def test_no_text_encoder_is_needed_once_the_bundle_is_made(copied: Path) -> None:
    shutil.rmtree(copied / "model" / "text_encoder")
    shutil.rmtree(copied / "model" / "tokenizer")
    assert load_bundle(copied / "bundle").backbone.get_buffer("prompt").abs().max() > 0
    with pytest.raises(BackboneError, match="text_encoder is missing"):
        import_checkpoint(str(copied / "model"), copied / "again")
    assert not (copied / "again").exists()


def test_a_restorer_shares_the_base_and_leaves_the_bundle_as_it_was(place: Path) -> None:
    bundle, image = load_bundle(place / "bundle"), random_image(40, 48)[0]
    before = {key: value.clone() for key, value in bundle.backbone.state_dict().items()}
    restorer = Restorer(bundle)
    assert isinstance(restorer.runtime, TorchRuntime)
    networks = bundle.backbone, restorer.runtime._backbone
    own, copy = (network.get_parameter("unet.conv_in.weight") for network in networks)
    assert own is not copy
    assert own.data_ptr() == copy.data_ptr()
    full = restorer.restore(image, as_="noise").pixels
    half = restorer.restore(image, as_="noise=0.5").pixels
    assert not torch.equal(full, half)
    assert torch.equal(restorer.restore(image, as_="noise").pixels, full)
    assert all(torch.equal(bundle.backbone.state_dict()[key], value) for key, value in before.items())


def test_the_fingerprint_counts_steps_and_skips(place: Path) -> None:
    found = set()
    for change in range(3):
        bundle = load_bundle(place / "bundle")
        if change == 1:
            assert isinstance(bundle.backbone, Stepped)
            bundle.backbone.use_steps(2)
        elif change == 2:
            with torch.no_grad():
                skip_of(bundle)[0] += 1
        found.add(fingerprint(bundle))
    assert len(found) == 3
    assert fingerprint(load_bundle(place / "bundle")) in found


def another(copied: Path) -> None:
    shutil.rmtree(copied / "model")
    save_model(copied / "model", seed=7)


def larger(copied: Path) -> None:
    shutil.rmtree(copied / "model")
    save_model(copied / "model", wide=True)


def scheduled(copied: Path) -> None:
    path = copied / "model" / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prediction_type": "v_prediction"}))


def replaced_by_text(copied: Path) -> None:
    shutil.rmtree(copied / "model")
    (copied / "model").mkdir()
    (copied / "model" / "notes.txt").write_text("no model")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda copied: shutil.rmtree(copied / "model"), "needs the base model .*: there is no model folder"),
        (another, "is another base model than the one asked for: its SHA-256 is"),
        (larger, r"is another base model than the one asked for: its weights have \d+ bytes instead of"),
        (scheduled, "is another base model than the one asked for: its SHA-256 is"),
        (replaced_by_text, "no diffusion model in diffusers' layout"),
    ],
)
def test_a_wrong_base_is_said_before_anything_is_loaded(
    copied: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object], message: str
) -> None:
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    change(copied)
    monkeypatch.setattr(parts, "_load", None)
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(copied / "bundle")
    assert "\n" not in str(caught.value)


def test_a_base_that_was_moved_is_found_where_the_environment_says(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copied / "models").mkdir()
    (copied / "model").rename(copied / "models" / "model")
    monkeypatch.setenv(MODELS_VARIABLE, str(copied / "models"))
    assert set(load_bundle(copied / "bundle").adapters) == {"noise"}


def test_an_adapter_for_another_base_is_said_before_anything_is_loaded(
    place: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = save_model(copied / "other", seed=3)
    import_checkpoint(str(other), copied / "of-other")
    bundle = load_bundle(copied / "of-other")
    # An adapter of one bundle put into the manifest of the other.
    bundle.adapters["noise"] = load_bundle(place / "bundle").adapters["noise"]
    with pytest.raises(BundleError, match="trained beside the base with SHA-256") as caught:
        save_bundle(copied / "mixed", bundle)
    assert "\n" not in str(caught.value)
    assert not (copied / "mixed").exists()


def test_manifests_that_lack_or_spoil_the_reference_are_refused(copied: Path) -> None:
    path = copied / "bundle" / "model.json"
    content = json.loads(path.read_text())
    reference = content["backbone"].pop("reference")
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match="does not refer to the backbone's base"):
        load_bundle(copied / "bundle")
    for entry, message in (
        ({**reference, "sha": "x"}, "unknown key 'backbone.reference.sha'"),
        ({**reference, "sha256": "x"}, "backbone.reference.sha256"),
    ):
        path.write_text(json.dumps({**content, "backbone": {**content["backbone"], "reference": entry}}))
        with pytest.raises(BundleError, match=message):
            load_bundle(copied / "bundle")
    plain = {"name": "nafnet", "options": {}, "reference": reference}
    path.write_text(json.dumps({**content, "backbone": plain}))
    with pytest.raises(BundleError, match="needs no other model's weights"):
        load_bundle(copied / "bundle")


def test_what_names_no_model_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    (tmp_path / "empty").mkdir()
    for name, kind, message in (
        (tmp_path / "empty", CheckpointError, "holds no model that a backbone runs on"),
        ("nobody/no-such-model", BackboneError, "the hub does not give a model of that name"),
    ):
        with pytest.raises(kind, match=message) as caught:
            import_checkpoint(name, tmp_path / "out")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_tiny_model_is_held_whole(tmp_path: Path) -> None:
    from polyrestore.backbones import build_backbone

    backbone, image = build_backbone("latent", model="tiny").eval(), random_image(20, 24)
    save_bundle(tmp_path / "tiny", Bundle("tiny", backbone), dtype=torch.float32)
    loaded = load_bundle(tmp_path / "tiny").backbone
    assert isinstance(loaded, BorrowsModel)
    assert loaded.reference() is None
    with torch.no_grad():
        assert torch.equal(loaded(image), backbone(image))
