"""What is saved is what is loaded, and an existing bundle survives until then."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from polyrestore.adapters import AdapterBank, LoraConfig
from polyrestore.bundles import Bundle, load_bundle, save_bundle, saving
from polyrestore.errors import BundleError, OutputError

WHOLE = {
    *("model.json", "backbone.safetensors", "recogniser.safetensors", "prototypes.safetensors"),
    *("README.md", "LICENSE"),
    *(f"adapters/{name}/adapter_{file}" for name in ("rain", "noise") for file in ("config.json",)),
    *(f"adapters/{name}/adapter_{file}" for name in ("rain", "noise") for file in ("model.safetensors",)),
    *(f"adapters/{name}/prototype.safetensors" for name in ("rain", "noise")),
}


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def assert_same_weights(
    loaded: Mapping[str, Tensor], expected: Mapping[str, Tensor], dtype: torch.dtype
) -> None:
    loaded, expected = dict(loaded), dict(expected)
    assert loaded.keys() == expected.keys()
    for key, tensor in expected.items():
        rounded = tensor.to(dtype).float() if tensor.is_floating_point() else tensor
        assert torch.equal(loaded[key], rounded), key
        assert loaded[key].dtype == tensor.dtype


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_bundle_comes_back_as_it_was(tmp_path: Path, bundle: Bundle, dtype: torch.dtype) -> None:
    state = torch.get_rng_state()
    save_bundle(tmp_path / "tiny", bundle, dtype=dtype)
    loaded = load_bundle(tmp_path / "tiny")
    assert torch.equal(torch.get_rng_state(), state), "loading advanced the global random numbers"
    assert loaded.recogniser is not None
    assert bundle.recogniser is not None
    assert_same_weights(loaded.backbone.state_dict(), bundle.backbone.state_dict(), dtype)
    assert_same_weights(loaded.recogniser.state_dict(), bundle.recogniser.state_dict(), dtype)
    assert_same_weights(loaded.prototypes, bundle.prototypes, torch.float32)
    for name, adapter in bundle.adapters.items():
        assert_same_weights(loaded.adapters[name].tensors, adapter.tensors, dtype)
        assert loaded.adapters[name].config == adapter.config
    assert (loaded.name, loaded.info) == (bundle.name, bundle.info)
    assert loaded.recognition_settings == bundle.recognition_settings
    assert loaded.backbone.options == bundle.backbone.options | {
        key: list(value) for key, value in bundle.backbone.options.items() if isinstance(value, tuple)
    }
    assert not any(module.training for module in (*loaded.backbone.modules(), *loaded.recogniser.modules()))


def test_the_folder_holds_what_the_format_says_in_half_precision(folder: Path) -> None:
    assert set(files_in(folder)) == WHOLE
    stored = [tensor.dtype for tensor in load_file(folder / "backbone.safetensors").values()]
    assert set(stored) == {torch.float16}


def test_a_bundle_may_have_a_backbone_only(tmp_path: Path, bundle: Bundle) -> None:
    bare = Bundle("bare", bundle.backbone)
    save_bundle(tmp_path / "bare", bare)
    loaded = load_bundle(tmp_path / "bare")
    assert (loaded.adapters, loaded.recogniser, loaded.prototypes) == ({}, None, {})


def test_saving_the_loaded_bundle_again_changes_no_byte(folder: Path) -> None:
    before = files_in(folder)
    save_bundle(folder, load_bundle(folder))
    assert files_in(folder) == before


def test_a_backbone_in_use_is_saved_bare(tmp_path: Path, bundle: Bundle, folder: Path) -> None:
    bank = AdapterBank(bundle.backbone)
    bank.add(bundle.adapters["rain"])
    bank.merge({"rain": 1.0})
    save_bundle(tmp_path / "in-use", bundle)
    assert files_in(tmp_path / "in-use") == files_in(folder)


def test_a_new_bundle_replaces_an_old_one_and_leaves_nothing_beside_it(
    tmp_path: Path, folder: Path, make_bundle: Callable[..., Bundle]
) -> None:
    before = files_in(folder)
    other = make_bundle(seed=1)
    del other.adapters["noise"]
    save_bundle(folder, other)
    assert set(load_bundle(folder).adapters) == {"rain"}
    assert files_in(folder)["backbone.safetensors"] != before["backbone.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def _spoil_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise BundleError("read back differs")

    monkeypatch.setattr(saving, "load_bundle", fail)


def _spoil_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "model_card", fail)


def _spoil_last_rename(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.rename

    def fail(source: Path, target: Path) -> None:
        if target.name == "tiny" and (source / "model.json").read_text().find('"seed": 1') >= 0:
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "rename", fail)


@pytest.mark.parametrize("spoil", [_spoil_reading, _spoil_writing, _spoil_last_rename])
def test_a_failed_save_leaves_the_old_bundle(
    tmp_path: Path,
    folder: Path,
    make_bundle: Callable[..., Bundle],
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[..., None],
) -> None:
    before = files_in(folder)
    spoil(monkeypatch)
    with pytest.raises((BundleError, OutputError)):
        save_bundle(folder, make_bundle(seed=1))
    assert files_in(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


@pytest.mark.parametrize("name", ["holiday.jpg", "adapters/rain/notes.txt", ".git/config", "adapters/x.json"])
def test_a_folder_with_other_files_is_never_replaced(folder: Path, bundle: Bundle, name: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="would be lost"):
        save_bundle(folder, bundle)
    assert path.read_bytes() == b"mine"


def test_a_file_is_never_replaced_by_a_bundle(tmp_path: Path, bundle: Bundle) -> None:
    path = tmp_path / "tiny"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="not a folder"):
        save_bundle(path, bundle)
    assert path.read_bytes() == b"mine"


def _too_large(bundle: Bundle) -> None:
    with torch.no_grad():
        next(bundle.backbone.parameters()).view(-1)[0] = 1e6


def _adapter_too_large(bundle: Bundle) -> None:
    next(iter(bundle.adapters["rain"].tensors.values())).view(-1)[0] = 1e6


def _nan_setting(bundle: Bundle) -> None:
    bundle.recognition_settings["temperature"] = float("nan")


def _tensor_setting(bundle: Bundle) -> None:
    bundle.recognition_settings["temperature"] = torch.zeros(1)


def _bad_name(bundle: Bundle) -> None:
    bundle.name = "../tiny"


def _renamed(bundle: Bundle) -> None:
    bundle.adapters["haze"] = bundle.adapters.pop("rain")


def _other_backbone(bundle: Bundle) -> None:
    bank = AdapterBank(torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1)))
    bank.create("rain", LoraConfig(), torch.Generator())
    bundle.adapters["rain"] = bank.export("rain")


def _uneven_prototypes(bundle: Bundle) -> None:
    bundle.prototypes["clean"] = torch.zeros(5)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_too_large, "not finite as torch.float16"),
        (_adapter_too_large, "'rain' cannot be saved"),
        (_nan_setting, "finite JSON"),
        (_tensor_setting, "JSON values"),
        (_bad_name, "name"),
        (_renamed, "rename one"),
        (_other_backbone, "take the adapter's own base"),
        (_uneven_prototypes, "one length"),
    ],
)
def test_what_cannot_be_saved_faithfully_is_refused(
    tmp_path: Path, bundle: Bundle, spoil: Callable[..., None], message: str
) -> None:
    spoil(bundle)
    with pytest.raises(BundleError, match=message):
        save_bundle(tmp_path / "tiny", bundle)
    assert list(tmp_path.iterdir()) == []
