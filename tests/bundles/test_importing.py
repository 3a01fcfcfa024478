"""A checkpoint under the published names becomes a bundle that computes the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from polyrestore.bundles import UNKNOWN_LICENCE, import_checkpoint, load_bundle
from polyrestore.errors import BundleError, CheckpointError, OutputError
from polyrestore.restoration.tiling import run_tiled
from polyrestore.runtimes.torch import TorchRuntime
from tests.support.networks import PUBLISHED, TINY, random_image, tiny

# No shape tells the heads, and the tiny network does not have the published ones.
GIVEN = {"transweather": {"heads": [1, 2, 2, 2], "decoder_heads": 2}}
PUBLISHED_AS: dict[str, Callable[[Any], object]] = {
    "airnet": lambda state: {"net": state, "epoch": 3},
    "compact": lambda state: state,
    "flow": lambda state: {"model": state},
    "nafnet": lambda state: {"params": state},
    "promptir": lambda state: {"state_dict": {f"net.{key}": value for key, value in state.items()}},
    "restormer": lambda state: {"params": state},
    "transweather": lambda state: {f"module.{key}": value for key, value in state.items()},
    "unet": lambda state: {"model_state_dict": state},
}


def checkpoint(folder: Path, name: str, content: object = None) -> Path:
    state = tiny(name, TINY[name]).state_dict() if content is None else content
    path = folder / f"{name}_published.v1.pth"
    torch.save(PUBLISHED_AS[name](state), path)
    return path


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_round_trip_is_exact(tmp_path: Path, name: str) -> None:
    path = checkpoint(tmp_path, name)
    imported = import_checkpoint(path, tmp_path / "bundle", options=GIVEN.get(name))
    original, bundle = tiny(name, TINY[name]), load_bundle(imported.folder)
    assert imported.backbone == name
    assert imported.options == bundle.backbone.options == original.options
    assert imported.parameters == sum(parameter.numel() for parameter in original.parameters())
    found, expected = bundle.backbone.state_dict(), original.state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    with torch.no_grad():
        image = random_image(20, 24)
        assert torch.equal(bundle.backbone(image), original(image))
    assert not bundle.adapters
    assert bundle.recogniser is None


def test_the_bundle_says_where_it_came_from(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "promptir")
    imported = import_checkpoint(path, tmp_path / "bundle")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.name == "promptir_published-v1"
    assert bundle.info.licence == imported.licence == UNKNOWN_LICENCE
    assert path.name in bundle.info.provenance[0]
    assert digest in bundle.info.provenance[0]
    record = {"file": path.name, "sha256": digest, "found_in": ["state_dict", "net."], "assumed": {}}
    assert bundle.info.training["import"] == record
    assert str(tmp_path) not in (tmp_path / "bundle" / "model.json").read_text()
    assert "not known" in (tmp_path / "bundle" / "LICENSE").read_text()
    assert "spdx.org" not in (tmp_path / "bundle" / "LICENSE").read_text()
    assert "restores every image alone" in (tmp_path / "bundle" / "README.md").read_text()

    import_checkpoint(path, tmp_path / "named", name="mine", licence="MIT")
    named = load_bundle(tmp_path / "named")
    assert (named.name, named.info.licence) == ("mine", "MIT")
    assert "SPDX-License-Identifier: MIT" in (tmp_path / "named" / "LICENSE").read_text()


def test_what_was_assumed_is_said_and_recorded(tmp_path: Path) -> None:
    backbone = tiny("transweather", TINY["transweather"] | {"dims": (8, 8, 8, 8)})
    path = checkpoint(tmp_path, "transweather", backbone.state_dict())
    imported = import_checkpoint(path, tmp_path / "bundle")
    assert imported.assumed == {"heads": [1, 2, 4, 4], "decoder_heads": 8}
    record = load_bundle(tmp_path / "bundle").info.model_dump()["training"]["import"]
    assert record["assumed"] == imported.assumed


def test_keys_that_may_be_skipped_keep_the_networks_own_values(tmp_path: Path) -> None:
    state = tiny("airnet", TINY["airnet"]).state_dict()
    del state["E.E.queue"]
    imported = import_checkpoint(checkpoint(tmp_path, "airnet", state), tmp_path / "bundle")
    assert set(imported.assumed) == {"queue_length", "momentum", "temperature"}
    loaded = load_bundle(tmp_path / "bundle").backbone.state_dict()
    assert loaded["E.E.queue"].shape == (16, 4096)
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_an_airnet_without_its_key_encoder_begins_with_a_copy_of_the_other(tmp_path: Path) -> None:
    whole = tiny("airnet", TINY["airnet"]).state_dict()
    state = {key: value for key, value in whole.items() if ".encoder_k." not in key}
    imported = import_checkpoint(checkpoint(tmp_path, "airnet", state), tmp_path / "bundle")
    loaded = load_bundle(imported.folder).backbone
    found = loaded.state_dict()
    assert all(torch.equal(found[key], state[key]) for key in state)
    pairs = [(key, source) for key, source in loaded.copied_keys().items()]
    assert all(torch.equal(found[key], state[source]) for key, source in pairs)
    assert any(not torch.equal(whole[key], found[key]) for key, _ in pairs)


def test_a_grey_restormer_restores_grey_photographs_as_published_and_colours_one_by_one(
    tmp_path: Path,
) -> None:
    grey = tiny("restormer", TINY["restormer"] | {"colours": 1, "norm_bias": False})
    imported = import_checkpoint(checkpoint(tmp_path, "restormer", grey.state_dict()), tmp_path / "bundle")
    assert imported.options["colours"] == 1
    backbone, image = load_bundle(imported.folder).backbone, random_image(20, 24)
    with torch.no_grad():
        restored = backbone(image)
        assert restored.shape == image.shape
        for colour in range(3):
            alone = backbone(image[:, [colour] * 3])
            assert torch.equal(alone[:, 0], alone[:, 1])
            assert torch.equal(alone[:, 2], restored[:, colour])
        tiled = run_tiled(TorchRuntime(backbone), random_image(40, 120), 16)
        whole = backbone(random_image(40, 120))
    assert float((tiled - whole).abs().max()) < 1e-4


def test_half_precision_and_safetensors_are_imported(tmp_path: Path) -> None:
    state = {key: tensor.half() for key, tensor in tiny("nafnet", TINY["nafnet"]).state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    import_checkpoint(tmp_path / "model.safetensors", tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle").backbone.state_dict()
    assert all(torch.equal(loaded[key], state[key].float()) for key in state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state | {"extra.weight": torch.ones(1)}, "has the unknown key 'extra.weight'"),
        (
            lambda state: {k: v for k, v in state.items() if k != "output.weight"},
            "lacks the key 'output.weight'",
        ),
        (lambda state: state | {"output.weight": torch.ones(3, 9, 3, 3)}, r"\(3, 9, 3, 3\) instead of"),
        (lambda state: state | {"output.weight": torch.ones(4, 8, 3, 3)}, "takes 3 channels and gives 4"),
        (lambda state: {"a": torch.ones(1)}, "belongs to no backbone"),
        (lambda state: state | {"output.weight": torch.full((3, 8, 3, 3), torch.inf)}, "not finite"),
    ],
)
def test_what_does_not_fit_leaves_nothing_behind(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    state = dict(tiny("restormer", TINY["restormer"]).state_dict())
    path = checkpoint(tmp_path, "restormer", change(state))
    with pytest.raises(CheckpointError, match=message) as caught:
        import_checkpoint(path, tmp_path / "bundle")
    assert str(caught.value).startswith(str(path))
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_overwritten_and_no_half_bundle_is_left(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "nafnet")
    import_checkpoint(path, tmp_path / "bundle")
    before = {file: file.read_bytes() for file in (tmp_path / "bundle").iterdir()}
    with pytest.raises(OutputError, match="is there already"):
        import_checkpoint(path, tmp_path / "bundle")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="is there already"):
        import_checkpoint(path, tmp_path / "link")
    with pytest.raises(BundleError, match="name"):
        import_checkpoint(path, tmp_path / "other", name="a/b")
    assert {file: file.read_bytes() for file in (tmp_path / "bundle").iterdir()} == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bundle", "link", path.name]


def test_options_that_are_given_must_fit(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "restormer")
    for options in ({"dim": 8}, {"dimm": 4}, {"heads": [1, 1, 1, 3]}):
        with pytest.raises(CheckpointError, match="looks like restormer but"):
            import_checkpoint(path, tmp_path / "bundle", options=options)


def test_the_manifest_is_plain_json(tmp_path: Path) -> None:
    import_checkpoint(checkpoint(tmp_path, "compact"), tmp_path / "bundle")
    assert json.loads((tmp_path / "bundle" / "model.json").read_text())["backbone"]["name"] == "compact"
