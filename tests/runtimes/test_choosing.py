"""``auto``: the fastest of the installed runtimes, timed once for a machine and a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from polyrestore.backbones import build_backbone
from polyrestore.runtimes import choosing
from polyrestore.runtimes.choosing import choose_runtime
from polyrestore.runtimes.registry import open_runtime
from polyrestore.runtimes.torch import TorchRuntime
from tests.support.tiny_backbone import tiny_backbone
from tests.support.tiny_bundle import TINY_COMPACT

CPU = torch.device("cpu")
BACKBONE = build_backbone("compact", **TINY_COMPACT)


def makers(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float], **added: float) -> dict[str, Any]:
    opened: list[str] = []

    def make(name: str) -> Any:
        def maker(backbone: Any, adapters: Any, device: Any, precision: str) -> Any:
            opened.append(name)
            runtime = TorchRuntime(backbone, adapters, device, precision)
            runtime.name = name
            return runtime

        return maker

    def run(runtime: Any, image: torch.Tensor) -> tuple[torch.Tensor, float]:
        if seconds[runtime.name] < 0:
            raise RuntimeError("no such instruction")
        return torch.full((1,), added.get(runtime.name, 0.0)), seconds[runtime.name]

    monkeypatch.setattr(choosing, "_run", run)
    monkeypatch.setattr(choosing, "_is_installed", lambda library: True)
    return {**{name: make(name) for name in seconds}, "opened": opened}


@pytest.mark.parametrize(
    ("seconds", "added", "chosen"),
    [
        ({"torch": 0.3, "openvino": 0.2, "onnx": 0.25}, {}, "openvino"),
        ({"torch": 0.2, "openvino": 0.199, "onnx": 0.3}, {}, "torch"),
        ({"torch": 0.3, "openvino": 0.2, "onnx": 0.25}, {"openvino": 0.01}, "onnx"),
        ({"torch": 0.3, "openvino": -1, "onnx": 0.4}, {}, "torch"),
    ],
    ids=["fastest", "hardly faster", "wrong", "failing"],
)
def test_the_fastest_that_is_right_is_taken_and_remembered(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float], added: dict[str, float], chosen: str
) -> None:
    known = makers(monkeypatch, seconds, **added)
    opened = known.pop("opened")
    first = choose_runtime(known, BACKBONE, (), CPU, "float32")
    assert (first.runtime, first.remembered) == (chosen, False)
    assert f"runtime {chosen} is taken from now on" in first.sentence()
    assert opened == ["torch", "openvino", "onnx"]
    again = choose_runtime(known, BACKBONE, (), CPU, "float32")
    assert (again.runtime, again.seconds, again.remembered) == (chosen, first.seconds, True)
    assert len(opened) == 3


def test_another_network_other_threads_and_a_damaged_record_are_timed_again(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    known = makers(monkeypatch, {"torch": 0.3, "openvino": 0.2, "onnx": 0.25})
    opened = known.pop("opened")
    choose_runtime(known, BACKBONE, (), CPU, "float32")
    (kept,) = cache.iterdir()
    kept.write_bytes(b"damaged")
    assert not choose_runtime(known, BACKBONE, (), CPU, "float32").remembered
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    assert not choose_runtime(known, BACKBONE, (), CPU, "float32").remembered
    with torch.random.fork_rng():
        torch.manual_seed(5)
        other = build_backbone("compact", **TINY_COMPACT)
    assert not choose_runtime(known, other, (), CPU, "float32").remembered
    assert len(opened) == 12


def test_what_only_torch_can_run_is_run_by_torch_untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_time_all", lambda *given: pytest.fail("timed"))
    runtime = open_runtime("auto", tiny_backbone(), (), CPU, "float32")
    assert (runtime.name, runtime.chosen) == ("torch", None)
    monkeypatch.setattr(choosing, "_is_installed", lambda library: False)
    assert open_runtime("auto", BACKBONE, (), CPU, "float32").name == "torch"


def test_a_new_choice_is_told_by_the_runtime_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_time_all", lambda *given: {"torch": 0.25, "onnx": 0.5})
    monkeypatch.setattr(choosing, "_is_installed", lambda library: library != "openvino")
    runtime = open_runtime("auto", BACKBONE, (), CPU, "float32")
    assert runtime.name == "torch"
    assert runtime.chosen is not None
    assert "onnx 0.50 s, torch 0.25 s" in runtime.chosen
    assert open_runtime("auto", BACKBONE, (), CPU, "float32").chosen is None
