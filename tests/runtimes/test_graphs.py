"""The runtimes that run a network's core as a graph: the same results, made once for all compositions."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from polyrestore.adapters import AdapterConfig, BottleneckConfig, LoraConfig
from polyrestore.backbones import build_backbone
from polyrestore.bundles import Bundle
from polyrestore.errors import BackboneError, MissingExtraError
from polyrestore.restoration.restorer import Restorer
from polyrestore.restoration.tiling import run_tiled
from polyrestore.runtimes.cache import read_parts, write_parts
from polyrestore.runtimes.graph import GraphRuntime
from polyrestore.runtimes.registry import RUNTIMES, open_runtime
from polyrestore.runtimes.torch import TorchRuntime
from tests.support.tiny_backbone import tiny_backbone
from tests.support.tiny_bundle import TINY_COMPACT, tiny_bundle

GRAPHS = ("openvino", "onnx")
TINY = {**TINY_COMPACT, "encoder_blocks": (1,), "decoder_blocks": (1,), "middle_blocks": 0, "shuffle": 2}
CPU = torch.device("cpu")
ADAPTERS: dict[str, AdapterConfig] = {
    "noise": LoraConfig(rank=2),
    "rain": LoraConfig(rank=2),
    "haze": BottleneckConfig(reduction=2),
}
COMPOSITIONS: tuple[Mapping[str, float], ...] = (
    {"noise": 1.0},
    {"rain": 0.6, "haze": 0.4},
    {"haze": 1.0},
    {},
)


def image(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))


def compact_bundle(**options: Any) -> Bundle:
    torch.manual_seed(0)
    backbone = build_backbone("compact", **{**TINY, **options})
    return tiny_bundle(ADAPTERS, spread=0.1, backbone=backbone)


def opened(name: str, bundle: Bundle) -> GraphRuntime:
    runtime = open_runtime(name, bundle.backbone, bundle.adapters.values(), CPU, "float32")
    assert isinstance(runtime, GraphRuntime)
    return runtime


def count_conversions(name: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    converted: list[str] = []
    runtime_class: Any = RUNTIMES[name]
    convert = runtime_class.convert

    def counted(self: GraphRuntime, core: Any) -> dict[str, bytes]:
        converted.append(name)
        return dict(convert(self, core))

    monkeypatch.setattr(runtime_class, "convert", counted)
    return converted


@pytest.mark.parametrize("name", GRAPHS)
def test_one_graph_gives_what_torch_gives_for_every_composition_size_and_tile(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = count_conversions(name, monkeypatch)
    bundle = compact_bundle(veil_width=4)
    plain, runtime = TorchRuntime(bundle.backbone, bundle.adapters.values()), opened(name, bundle)
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in COMPOSITIONS:
            for height, width, tile_px in ((1, 1, 64), (50, 61, 24)):
                with plain.composed(weights), runtime.composed(weights):
                    assert runtime.reach_px == plain.reach_px
                    given = image(height, width)
                    difference = run_tiled(runtime, given, tile_px) - run_tiled(plain, given, tile_px)
                assert float(difference.abs().max()) < 1e-4, (weights, height, width)
        given = image(24, 40)
        with runtime.composed({"noise": 1.0}):
            wanted = runtime.run(given, None)
            with runtime.composed({"rain": 1.0}):
                assert (runtime.run(given, None) - wanted).abs().max() > 1e-3
            assert torch.equal(runtime.run(given, None), wanted)
    assert converted == [name]


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_is_kept_for_other_adapters_values_and_made_again_where_it_is_damaged(
    name: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = count_conversions(name, monkeypatch)
    given = image(24, 24)

    def run(bundle: Bundle) -> torch.Tensor:
        with torch.no_grad():
            return opened(name, bundle).run(given, None)

    bundle = compact_bundle(middle_blocks=1)
    first = run(bundle)
    (kept,) = cache.iterdir()
    assert torch.equal(run(bundle), first)
    assert converted == [name]
    content = kept.read_bytes()
    kept.write_bytes(content.replace(content[500:516], b"\xff" * 16))
    assert read_parts(kept.stem) is None
    assert torch.equal(run(bundle), first)
    assert read_parts(kept.stem) is not None
    assert converted == 2 * [name]
    with torch.no_grad():
        bundle.backbone.get_parameter("middle.0.conv2.weight").mul_(1.1)
    changed = open_runtime(name, bundle.backbone, (), CPU, "float32").run(given, None)
    torch.testing.assert_close(changed, bundle.backbone(given), atol=1e-4, rtol=0)
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04"])
def test_what_is_no_archive_is_not_there(content: bytes, cache: Path) -> None:
    write_parts("key", {"one": b"1", "two": b"22"})
    assert read_parts("key") == {"one": b"1", "two": b"22"}
    (cache / "key.zip").write_bytes(content)
    assert read_parts("key") is None
    assert read_parts("other") is None


@pytest.mark.parametrize("name", ["onnx"])
def test_a_cache_that_cannot_be_written_is_done_without(name: str, cache: Path) -> None:
    cache.write_text("a file in the way")
    with torch.no_grad():
        assert opened(name, compact_bundle()).run(image(24, 24), None).shape == (1, 3, 24, 24)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_restorer_gives_the_same_picture(name: str) -> None:
    bundle = compact_bundle()
    given = image(70, 45)[0]
    pictures = [
        Restorer(bundle, "cpu", runtime=each).restore(given, "noise").pixels for each in ("torch", name)
    ]
    assert float((pictures[0] - pictures[1]).abs().max()) <= 1 / 255
    assert (pictures[0] - given).abs().max() > 1 / 255


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((tiny_backbone(), (), CPU, "float32"), "backbone 'tiny' has no core that a graph could be made of"),
        ((build_backbone("compact", **TINY_COMPACT), (), CPU, "float16"), "in float32, not in float16"),
        ((build_backbone("compact", **TINY_COMPACT), (), torch.device("meta"), "float32"), "not on meta"),
    ],
)
def test_what_no_graph_can_be_made_of_is_refused(name: str, arguments: Any, reason: str) -> None:
    with pytest.raises(BackboneError, match=reason) as caught:
        open_runtime(name, *arguments)
    assert f"take the runtime torch in place of {name}" in str(caught.value)


@pytest.mark.parametrize(("name", "library"), [("openvino", "openvino"), ("onnx", "onnxruntime")])
def test_a_missing_extra_is_named(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(module: str, *arguments: Any, **options: Any) -> Any:
        if module.partition(".")[0] == library:
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)
        return real(module, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=rf"the runtime {name} needs {library}: .*\[{name}\]"):
        opened(name, compact_bundle())
