"""Stand-alone models: the same result at other sizes, described, and refused where they go wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polyrestore.adapters import AdapterConfig, BottleneckConfig, LoraConfig
from polyrestore.backbones import build_backbone
from polyrestore.errors import BackboneError, OutputError, UnknownNameError
from polyrestore.restoration import exporting
from polyrestore.restoration.exporting import DESCRIPTION, EXPORT_FORMATS, export_model
from polyrestore.restoration.restorer import Restorer
from tests.restoration.conftest import restorable_bundle
from tests.support.tiny_bundle import TINY_COMPACT, tiny_bundle

ADAPTERS: dict[str, AdapterConfig] = {
    "noise": LoraConfig(rank=2),
    "haze": BottleneckConfig(reduction=2),
}
WEIGHTS = {"noise": 0.7, "haze": 0.3}
SMALL = {"encoder_blocks": (1,), "decoder_blocks": (1,), "middle_blocks": 0, "shuffle": 2}


@pytest.fixture(scope="module")
def compact() -> Restorer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = build_backbone("compact", **{**TINY_COMPACT, **SMALL, "veil_width": 4})
        # A gate that is open, so that the veil is in the graph.
        torch.nn.init.constant_(backbone.get_parameter("veil.gate.weight"), 0.5)
    return Restorer(tiny_bundle(ADAPTERS, spread=0.1, backbone=backbone), "cpu")


def metadata_of(format_: str, path: Path) -> dict[str, str]:
    if format_ == "torch":
        extra = {"metadata.json": ""}
        torch.jit.load(str(path), _extra_files=extra)  # type: ignore[no-untyped-call]
        return dict(json.loads(extra["metadata.json"]))
    if format_ == "onnx":
        import onnx

        return {each.key: each.value for each in onnx.load(str(path)).metadata_props}
    import openvino

    info = openvino.Core().read_model(str(path)).get_rt_info(["polyrestore"])
    return dict(info.value)


@pytest.mark.parametrize("format_", EXPORT_FORMATS)
def test_a_model_restores_images_of_any_size_alone(format_: str, compact: Restorer, tmp_path: Path) -> None:
    ending, _, opener = EXPORT_FORMATS[format_]
    exported = export_model(compact, format_, WEIGHTS, tmp_path / f"model{ending}")
    assert exported.difference < 1e-3
    assert all(file.stat().st_size for file in exported.files)
    run = opener(exported.files[0])
    for height, width in ((1, 1), (5, 200), (97, 64)):
        image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(width))
        (wanted,) = compact.apply([image], WEIGHTS)
        found = torch.from_numpy(run(image[None].numpy()))[0]
        assert float((found - wanted).abs().max()) <= 1 / 255, (height, width)
        assert height == 1 or (found - image).abs().max() > 1 / 255
    told = metadata_of(format_, exported.files[0])
    assert json.loads(told["composition"]) == WEIGHTS
    assert set(told) == {*DESCRIPTION, "made_by", "bundle", "bundle_sha256", "licence", "composition"}


def test_a_model_that_differs_is_refused_and_removed(
    compact: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending, write, opener = EXPORT_FORMATS["torch"]

    def wrong(file: Path) -> Callable[[np.ndarray], Any]:
        run = opener(file)
        return lambda image: run(image) + 0.01

    monkeypatch.setitem(EXPORT_FORMATS, "torch", (ending, write, wrong))
    with pytest.raises(BackboneError, match=r"differs from the restorer by \d\.\d of 255 levels"):
        export_model(compact, "torch", WEIGHTS, tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("format_", "name", "error", "message"),
    [
        ("tensorflow", "model.pb", UnknownNameError, "unknown export format 'tensorflow'"),
        ("onnx", "model.pt", OutputError, "does not end in .onnx"),
        ("torch", "there.pt", OutputError, "is there already"),
        ("openvino", "there.xml", OutputError, "there.bin is there already"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_made(
    format_: str,
    name: str,
    error: type[Exception],
    message: str,
    compact: Restorer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporting, "_trace", lambda *given: pytest.fail("traced"))
    for there in ("there.pt", "there.bin"):
        (tmp_path / there).write_bytes(b"the user's")
    with pytest.raises(error, match=message):
        export_model(compact, format_, WEIGHTS, tmp_path / name)
    assert (tmp_path / "there.pt").read_bytes() == b"the user's"


def test_a_network_without_a_graph_is_refused(tmp_path: Path) -> None:
    restorer = Restorer(restorable_bundle(), "cpu")
    with pytest.raises(BackboneError, match="'tiny' has no core that a graph could be made of, so it cannot"):
        export_model(restorer, "onnx", {"noise": 1.0}, tmp_path / "model.onnx")
