"""What an adapter's folder says of itself: base, prototype, recogniser and least share."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from polyrestore.adapters import Prototype, base_sha256, load_adapter, save_adapter
from polyrestore.bundles import Bundle, load_bundle, save_bundle
from polyrestore.bundles.installing import with_adapter, without_adapter
from polyrestore.errors import AdapterError, BundleError
from tests.bundles.test_checks import reseal
from tests.support.tiny_bundle import tiny_bundle

SHARES = {"noise": 0.7, "haze": 0.4}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def shared(tmp_path: Path) -> Bundle:
    """A saved bundle with a share of its own for one of its two adapters, and for one that it lacks."""
    bundle = tiny_bundle(settings={"top_k": 2, "minimum_shares": SHARES})
    save_bundle(tmp_path / "tiny", bundle)
    return bundle


def test_a_folder_says_what_its_adapter_belongs_to(tmp_path: Path, shared: Bundle) -> None:
    assert shared.recogniser is not None
    for name, share in (("noise", 0.7), ("rain", None)):
        adapter = load_adapter(tmp_path / "tiny" / "adapters" / name)
        assert adapter.base_sha256 == base_sha256(shared.backbone)
        assert adapter.prototype is not None
        assert torch.equal(adapter.prototype.embedding, shared.prototypes[name])
        assert adapter.prototype.recogniser_sha256 == shared.recogniser.fingerprint()
        assert adapter.prototype.least_share == share
    content = json.loads((tmp_path / "tiny" / "model.json").read_text())
    assert content["recognition_settings"] == {"top_k": 2, "minimum_shares": {"haze": 0.4}}
    assert set(load_file(tmp_path / "tiny" / "prototypes.safetensors")) == {"clean"}


def test_a_bundle_gathers_what_its_adapters_say(tmp_path: Path, shared: Bundle) -> None:
    loaded = load_bundle(tmp_path / "tiny")
    assert loaded.recognition_settings == shared.recognition_settings
    assert list(loaded.prototypes) == ["clean", "noise", "rain"]
    assert all(torch.equal(value, shared.prototypes[name]) for name, value in loaded.prototypes.items())
    assert all(adapter.prototype is None for adapter in loaded.adapters.values())


def test_what_recognition_says_of_an_adapter_goes_with_it(tmp_path: Path) -> None:
    said = {
        "minimum_shares": {"noise": 0.7},
        "supersedes": {"noise": ["haze"]},
        "least_changes": {"rain": 2.0},
        "beside_shares": {"noise": 0.5, "haze": 0.6},
    }
    save_bundle(tmp_path / "tiny", tiny_bundle(settings=said))
    content = json.loads((tmp_path / "tiny" / "model.json").read_text())
    left = {key: values for key, values in content["recognition_settings"].items() if values}
    assert left == {"beside_shares": {"haze": 0.6}}
    assert load_bundle(tmp_path / "tiny").recognition_settings == said
    stated = load_adapter(tmp_path / "tiny" / "adapters" / "noise").prototype
    assert stated is not None
    assert (stated.supersedes, stated.least_change, stated.beside_share) == (("haze",), None, 0.5)
    moved = with_adapter(
        without_adapter(load_bundle(tmp_path / "tiny"), "noise"),
        load_adapter(tmp_path / "tiny" / "adapters" / "noise"),
    )
    assert moved.recognition_settings == said


def test_the_fingerprint_of_a_recogniser_does_not_depend_on_the_type_on_disk(tmp_path: Path) -> None:
    bundle = tiny_bundle()
    assert bundle.recogniser is not None
    before = bundle.recogniser.fingerprint()
    for dtype in (torch.float16, torch.float32):
        loaded = load_bundle(save_bundle(tmp_path / "tiny", bundle, dtype=dtype)).recogniser
        assert loaded is not None
        assert loaded.fingerprint() == before
    with torch.no_grad():
        next(bundle.recogniser.parameters()).add_(0.1)
    assert bundle.recogniser.fingerprint() != before


def put_in(folder: Path, source: Path, name: str) -> None:
    """Replace an adapter by that of another folder, as somebody does who copies files about."""
    for path in (source / "adapters" / name).iterdir():
        place = f"adapters/{name}/{path.name}"
        (folder / place).unlink()
        (folder / place).write_bytes(path.read_bytes())
        reseal(folder, place)


def test_an_adapter_of_another_backbone_of_the_same_shapes_is_refused(tmp_path: Path, shared: Bundle) -> None:
    other = save_bundle(tmp_path / "other", tiny_bundle(seed=1))
    put_in(tmp_path / "tiny", other, "rain")
    with pytest.raises(BundleError, match="'rain' was trained beside the base with SHA-256") as caught:
        load_bundle(tmp_path / "tiny")
    assert "\n" not in str(caught.value)


def test_an_adapter_whose_prototype_another_recogniser_made_is_refused(
    tmp_path: Path, shared: Bundle
) -> None:
    other = replace(tiny_bundle(seed=1), backbone=shared.backbone, adapters=shared.adapters)
    put_in(tmp_path / "tiny", save_bundle(tmp_path / "other", other), "rain")
    with pytest.raises(BundleError, match="of adapter 'rain' was made by the recogniser with") as caught:
        load_bundle(tmp_path / "tiny")
    assert "\n" not in str(caught.value)


def test_an_adapter_of_the_same_parts_brings_its_prototype_and_its_share(
    tmp_path: Path, shared: Bundle
) -> None:
    prototypes = {**shared.prototypes, "noise": -shared.prototypes["noise"]}
    other = replace(shared, prototypes=prototypes, recognition_settings={"minimum_shares": {"noise": 0.9}})
    put_in(tmp_path / "tiny", save_bundle(tmp_path / "other", other), "noise")
    loaded = load_bundle(tmp_path / "tiny")
    assert torch.equal(loaded.prototypes["noise"], prototypes["noise"])
    assert loaded.recognition_settings["minimum_shares"] == {**SHARES, "noise": 0.9}


def test_in_a_bundle_every_adapter_names_its_base(tmp_path: Path, shared: Bundle) -> None:
    path = tmp_path / "tiny" / "adapters" / "rain" / "adapter_model.safetensors"
    tensors = load_file(path)
    path.unlink()
    save_file(tensors, path)
    reseal(tmp_path / "tiny", "adapters/rain/adapter_model.safetensors")
    with pytest.raises(BundleError, match="does not say which backbone it was trained beside"):
        load_bundle(tmp_path / "tiny")


def test_an_adapter_that_names_no_base_is_saved_as_one_of_the_bundle(tmp_path: Path) -> None:
    bundle = tiny_bundle()
    bundle.adapters["rain"] = replace(bundle.adapters["rain"], base_sha256="")
    loaded = load_bundle(save_bundle(tmp_path / "tiny", bundle))
    assert loaded.adapters["rain"].base_sha256 == base_sha256(bundle.backbone)


@pytest.mark.parametrize(
    ("tensors", "notes", "message"),
    [
        ({"prototype": torch.ones(2, 2)}, {}, "must hold one vector"),
        ({"prototype": torch.ones(2), "more": torch.ones(1)}, {}, "must hold one vector"),
        ({"prototype": torch.tensor([float("nan")])}, {}, "not finite"),
        ({"prototype": torch.ones(2)}, {"least_share": "much"}, "number from 0 to 1, not 'much'"),
        ({"prototype": torch.ones(2)}, {"least_share": "1.5"}, "number from 0 to 1, not '1.5'"),
        ({"prototype": torch.ones(2)}, {"least_share": "nan"}, "number from 0 to 1, not 'nan'"),
        ({"prototype": torch.ones(2)}, {"least_change": "-1"}, "number from 0 to 255, not '-1'"),
        ({"prototype": torch.ones(2)}, {"beside_share": "2"}, "number from 0 to 1, not '2'"),
    ],
)
def test_a_prototype_that_makes_no_sense_is_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor], notes: dict[str, str], message: str
) -> None:
    adapter = tiny_bundle().adapters["rain"]
    save_adapter(tmp_path / "rain", replace(adapter, prototype=Prototype(torch.ones(2), "", 0.5)), "tiny")
    stated = load_adapter(tmp_path / "rain").prototype
    assert stated is not None
    assert (stated.recogniser_sha256, stated.least_share) == ("", 0.5)
    (tmp_path / "rain" / "prototype.safetensors").unlink()
    save_file(tensors, tmp_path / "rain" / "prototype.safetensors", metadata=notes)
    with pytest.raises(AdapterError, match=message):
        load_adapter(tmp_path / "rain")


def test_the_script_states_what_a_replaced_backbone_left_unsaid(tmp_path: Path, shared: Bundle) -> None:
    folder = tmp_path / "tiny"
    other = save_bundle(tmp_path / "other", replace(tiny_bundle(seed=1), adapters={}))
    (folder / "backbone.safetensors").unlink()
    (folder / "backbone.safetensors").write_bytes((other / "backbone.safetensors").read_bytes())
    reseal(folder, "backbone.safetensors")
    with pytest.raises(BundleError, match="take the adapter's own base"):
        load_bundle(folder)
    script = [sys.executable, str(ROOT / "scripts" / "state_adapters.py"), str(folder)]
    subprocess.run(script, check=True, capture_output=True, cwd=tmp_path)
    stated = load_bundle(folder)
    assert stated.adapters["rain"].base_sha256 == base_sha256(stated.backbone)
    assert stated.recognition_settings == shared.recognition_settings
    assert all(torch.equal(value, shared.prototypes[name]) for name, value in stated.prototypes.items())
