"""A damaged or hostile bundle is refused in one line that names the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from polyrestore.bundles import load_bundle, loading, read_manifest
from polyrestore.errors import BundleError

WEIGHT_FILES = [
    "backbone.safetensors",
    "recogniser.safetensors",
    "prototypes.safetensors",
    "adapters/rain/adapter_model.safetensors",
    "adapters/noise/adapter_config.json",
    "adapters/noise/prototype.safetensors",
]


def refused(folder: Path, message: str) -> str:
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change model.json through a function of its content."""
    path = folder / "model.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def reseal(folder: Path, name: str) -> None:
    """Make model.json agree with a file that was changed, as somebody with bad intentions would."""
    data = (folder / name).read_bytes()
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    edit(folder, lambda content: content["files"].update({name: entry}))


@pytest.mark.parametrize("name", WEIGHT_FILES)
def test_one_changed_byte_is_found_before_anything_is_used(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-2] ^= 1
    (folder / name).write_bytes(data)
    monkeypatch.setattr(
        loading, "build_backbone", lambda *_a, **_k: pytest.fail("used before it was checked")
    )
    refused(folder, f"{name} is damaged: its SHA-256.*again")


@pytest.mark.parametrize("name", WEIGHT_FILES)
def test_a_short_file_is_found(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    refused(folder, f"{name} has [0-9]+ bytes instead of [0-9]+")


@pytest.mark.parametrize("name", WEIGHT_FILES)
def test_a_missing_file_is_found(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refused(folder, f"{name} is missing")


@pytest.mark.parametrize("name", ["extra.safetensors", "adapters/haze/adapter_model.safetensors", "run.py"])
def test_an_unexpected_file_is_found(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"")
    refused(folder, f"{name} does not belong")


def test_people_may_edit_the_documents_and_tools_may_hide_files(folder: Path) -> None:
    (folder / "README.md").write_text("My own words.")
    (folder / "LICENSE").unlink()
    (folder / ".gitattributes").write_text("")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "entry.json").write_text("{}")
    assert load_bundle(folder).name == "tiny"


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "adapters/../../x", "README.md"])
def test_files_outside_the_format_are_never_opened(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = folder.parent / "outside.safetensors"
    secret.write_bytes(b"secret")
    entry = {"sha256": hashlib.sha256(b"secret").hexdigest(), "size_bytes": 6}
    edit(folder, lambda content: content["files"].update({name: entry}))
    monkeypatch.setattr(loading, "sha256_of", lambda _path: pytest.fail("opened a file"))
    refused(folder, "no part of the bundle uses")


@pytest.mark.parametrize("key", ["adapters", "prototypes"])
@pytest.mark.parametrize("name", ["..", "../rain", "/rain", "a/b", "rain\n", "", "r" * 65])
def test_names_cannot_leave_the_folder(folder: Path, key: str, name: str) -> None:
    edit(folder, lambda content: content[key].append(name))
    refused(folder, f"{key}.[0-9]: String should")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format_version=2), "format version 2, .* update polyrestore"),
        (lambda c: c.update(format_version=0), "format version 0, which does not exist"),
        (lambda c: c.update(format_version=True), "no format_version"),
        (lambda c: c.pop("format_version"), "no format_version"),
        (lambda c: c.update(adaptors=[]), "unknown key 'adaptors'; did you mean 'adapters'"),
        (lambda c: c["info"].update(license="MIT"), "'info.license'; did you mean 'licence'"),
        (lambda c: c["info"]["results"][0].update(protokol=1), "did you mean 'protocol'"),
        (lambda c: c["backbone"].update(option={}), "did you mean 'options'"),
        (lambda c: c["files"]["backbone.safetensors"].update(sha="0"), "did you mean 'sha256'"),
        (lambda c: c["files"]["backbone.safetensors"].update(sha256="0"), "sha256"),
        (lambda c: c["files"].pop("backbone.safetensors"), "no checksum for backbone.safetensors"),
        (lambda c: c.pop("backbone"), "backbone: Field required"),
        (lambda c: c["adapters"].append("rain"), "twice"),
        (
            lambda c: c["backbone"].update(name="compakt"),
            "unknown backbone 'compakt'; did you mean 'compact'",
        ),
        (lambda c: c["backbone"]["options"].update(widht=8), "backbone cannot be built.*widht"),
        (lambda c: c["backbone"]["options"].update(width=-8), "width must be a whole number from 1 to 4096"),
        (lambda c: c["backbone"]["options"].update(width=10**9), "width must be a whole number from 1"),
        (lambda c: c["backbone"]["options"].update(width="8"), "width must be a whole number .*, not '8'"),
        (lambda c: c["backbone"]["options"].update(context_dim=0), "context_dim must be a whole number"),
        (lambda c: c["backbone"]["options"].update(width=12), "has shape .*, the architecture needs"),
        (lambda c: c["backbone"]["options"].update(middle_blocks=2), "lacks the tensor 'middle.1"),
        (lambda c: c["backbone"]["options"].update(middle_blocks=0), "unknown tensor 'middle.0"),
        (lambda c: c["recogniser"]["options"].update(dim=5), "recogniser.safetensors: linear.* has shape"),
        (lambda c: c["recogniser"]["options"].update(dims=5), "recogniser cannot be built"),
        (lambda c: c["prototypes"].append("haze"), "disagree about the prototype 'haze'"),
        (lambda c: c["prototypes"].remove("clean"), "lists the file 'prototypes.safetensors'"),
        (lambda c: c["prototypes"].remove("rain"), "lists the file 'adapters/rain/prototype.safetensors'"),
    ],
)
def test_a_wrong_manifest_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(folder, change)
    refused(folder, message)


def test_a_network_of_another_size_than_its_file_is_never_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    original = torch.nn.Conv2d.__init__

    def watched(layer: nn.Conv2d, *arguments: Any, **keywords: Any) -> None:
        original(layer, *arguments, **keywords)
        made.append(layer.weight.device.type)

    monkeypatch.setattr(torch.nn.Conv2d, "__init__", watched)
    edit(folder, lambda c: c["backbone"]["options"].update(width=4096))
    refused(folder, "has shape .*, the architecture needs")
    assert set(made) == {"meta"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is damaged"),
        ("{", "is damaged"),
        ("[]", "no format_version"),
        ("[" * 100_000, "is damaged"),
        ('{"format_version": NaN}', "is damaged: NaN"),
    ],
)
def test_a_manifest_that_is_no_manifest_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / "model.json").write_text(text)
    refused(folder, f"model.json.*{message}|{message}")


def test_a_manifest_that_is_not_text_is_refused(folder: Path) -> None:
    (folder / "model.json").write_bytes(b"\xff\xfe\x00")
    refused(folder, "model.json is damaged")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", [name for name in WEIGHT_FILES if name.endswith(".safetensors")])
def test_weights_that_are_not_finite_are_refused_even_with_the_right_checksum(
    folder: Path, name: str, value: float
) -> None:
    tensors = load_file(folder / name)
    next(tensor for tensor in tensors.values() if tensor.is_floating_point()).view(-1)[0] = value
    save_file(tensors, folder / name)
    reseal(folder, name)
    refused(folder, f"{name.split('/')[0]}.*not finite")


def test_an_adapter_of_another_backbone_is_refused(folder: Path) -> None:
    name = "adapters/rain/adapter_model.safetensors"
    tensors = load_file(folder / name)
    with safe_open(folder / name, framework="pt") as file:
        notes = file.metadata()
    key = next(key for key in tensors if key.endswith("lora_B.weight"))
    tensors[key] = torch.zeros(tensors[key].shape[0] + 1, *tensors[key].shape[1:])
    save_file(tensors, folder / name, metadata=notes)
    reseal(folder, name)
    refused(folder, "adapters/rain does not fit the bundle.*has shape")


def test_a_checkpoint_under_a_weight_files_name_is_refused(folder: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, folder / "backbone.safetensors")
    reseal(folder, "backbone.safetensors")
    refused(folder, "backbone.safetensors is not a safetensors file")


def test_the_manifest_can_be_read_alone(folder: Path) -> None:
    for name in WEIGHT_FILES:
        (folder / name).unlink()
    manifest = read_manifest(folder)
    assert manifest.adapters == ("noise", "rain")
    assert manifest.expected_files() == set(WEIGHT_FILES) | {
        "adapters/rain/adapter_config.json",
        "adapters/rain/prototype.safetensors",
        "adapters/noise/adapter_model.safetensors",
    }
