"""One recogniser for several bundles: referred to by name and fingerprint; a bundle saved again holds it."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from polyrestore.bundles import Bundle, load_bundle, save_bundle, shared
from polyrestore.errors import BundleError
from polyrestore.recognition import BaseRecogniser


def recogniser_of(bundle: Bundle) -> BaseRecogniser:
    assert bundle.recogniser is not None
    return bundle.recogniser


def weight_of(bundle: Bundle) -> Tensor:
    return recogniser_of(bundle).get_parameter("linear.weight")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shared, "shipped_folder", lambda: tmp_path / "shipped")
    return tmp_path / "shipped/recognisers/one.safetensors"


@pytest.fixture
def two(tmp_path: Path, place: Path, bundle: Bundle) -> list[Path]:
    entry = shared.save_shared("one", recogniser_of(bundle))
    return [save_bundle(tmp_path / name, bundle, shared=entry) for name in ("a", "b")]


def test_two_bundles_share_one_file(two: list[Path], place: Path, bundle: Bundle) -> None:
    for folder in two:
        assert not (folder / "recogniser.safetensors").exists()
        loaded = load_bundle(folder)
        assert torch.allclose(weight_of(loaded), weight_of(bundle), atol=1e-3)
        entry = json.loads((folder / "model.json").read_text())["recogniser"]["shared"]
        assert (entry["name"], entry["size_bytes"]) == ("one", place.stat().st_size)


def test_saved_again_a_bundle_holds_its_recogniser(two: list[Path], place: Path, tmp_path: Path) -> None:
    again = save_bundle(tmp_path / "again", load_bundle(two[0]))
    place.unlink()
    assert (again / "recogniser.safetensors").is_file()
    assert load_bundle(again).recogniser is not None


def test_a_missing_or_changed_file_is_refused(two: list[Path], place: Path) -> None:
    content = place.read_bytes()
    place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match="install polyrestore again"):
        load_bundle(two[0])
    place.unlink()
    with pytest.raises(BundleError, match="'one'"):
        load_bundle(two[0])


def test_a_name_that_bundles_refer_to_is_not_given_to_others(
    two: list[Path], place: Path, bundle: Bundle
) -> None:
    content = place.read_bytes()
    again = shared.save_shared("one", recogniser_of(load_bundle(two[0])))
    assert again.name == "one"
    weight_of(bundle).data += 1
    with pytest.raises(BundleError, match="choose another name"):
        shared.save_shared("one", recogniser_of(bundle))
    assert place.read_bytes() == content


def test_weights_that_float16_cannot_hold_are_refused(place: Path, bundle: Bundle) -> None:
    weight_of(bundle).data[0, 0] = 1e6
    with pytest.raises(BundleError, match=r"linear\.weight"):
        shared.save_shared("one", recogniser_of(bundle))
    assert not place.exists()
