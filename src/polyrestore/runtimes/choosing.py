"""Which runtime is fastest for a network on this machine: timed once, and remembered."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from polyrestore import __version__
from polyrestore.adapters import Adapter
from polyrestore.adapters.base import base_sha256
from polyrestore.backbones import Backbone
from polyrestore.errors import PolyrestoreError
from polyrestore.runtimes.base import Runtime
from polyrestore.runtimes.cache import read_parts, write_parts
from polyrestore.runtimes.graph import graph_obstacle

Maker = Callable[[Backbone, Iterable[Adapter], torch.device, str], Runtime]
"""Makes a runtime of a backbone, its adapters, a device and a precision."""

LIBRARIES: dict[str, tuple[str, ...]] = {"openvino": ("openvino",), "onnx": ("onnxruntime", "onnx")}
"""The libraries that runtimes beside torch need, by runtime."""

_TILE_PX = 384
_ROUNDS = 2
# A runtime that is hardly faster is not worth what it takes to convert a network for it.
_WORTH = 0.95
_ALIKE = 1 / 255
_FILE = "choice.json"


@dataclass(frozen=True)
class Choice:
    """The runtime that was chosen.

    Attributes:
        runtime: its name.
        seconds: what one tile took with each runtime; empty where there was no choice.
        remembered: whether it was timed earlier.
    """

    runtime: str
    seconds: Mapping[str, float]
    remembered: bool

    def sentence(self) -> str:
        """Return what was chosen and why."""
        found = ", ".join(f"{name} {value:.2f} s" for name, value in sorted(self.seconds.items()))
        return f"runtime {self.runtime} is taken from now on: one tile of {_TILE_PX} px took {found}"


def choose_runtime(
    makers: Mapping[str, Maker],
    backbone: Backbone,
    adapters: Iterable[Adapter],
    device: torch.device,
    precision: str,
) -> Choice:
    """Return which of the installed runtimes restores a tile fastest, on this machine with these threads.

    torch is chosen untimed where the network can be run by nothing else, or where nothing else is installed.
    A runtime that fails, or whose result differs by more than 1/255, is not taken.

    Args:
        makers: of the runtimes, by name.
        backbone: the network.
        adapters: what can be composed.
        device: where it computes.
        precision: the number format.
    """
    if graph_obstacle(backbone, device, precision) is not None:
        return Choice("torch", {}, remembered=True)
    others = [name for name, libraries in LIBRARIES.items() if all(map(_is_installed, libraries))]
    if not others:
        return Choice("torch", {}, remembered=True)
    names, known = ["torch", *others], list(adapters)
    key = f"choice-{_fingerprint(backbone, known, names)}"
    remembered = _remembered(key, names)
    if remembered is not None:
        return remembered
    seconds = _time_all({name: makers[name] for name in names}, backbone, known, device, precision)
    best = min(seconds, key=lambda name: seconds[name] * (_WORTH if name == "torch" else 1.0))
    write_parts(key, {_FILE: json.dumps({"runtime": best, "seconds": seconds}).encode()})
    return Choice(best, seconds, remembered=False)


def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _time_all(
    makers: Mapping[str, Maker],
    backbone: Backbone,
    adapters: list[Adapter],
    device: torch.device,
    precision: str,
) -> dict[str, float]:
    seconds: dict[str, float] = {}
    weights = {adapter.name: 1.0 for adapter in adapters[:1]}
    image = torch.rand(1, 3, _TILE_PX, _TILE_PX, generator=torch.Generator().manual_seed(0))
    wanted: torch.Tensor | None = None
    for name, make in makers.items():
        try:
            runtime = make(backbone, adapters, device, precision)
            with torch.no_grad(), runtime.composed(weights):
                # The first run converts the network, and sets up what is set up once.
                restored, _ = _run(runtime, image)
                best = min(_run(runtime, image)[1] for _ in range(_ROUNDS))
        except (PolyrestoreError, RuntimeError, ValueError):
            if name == "torch":
                raise
            continue
        wanted = restored if wanted is None else wanted
        if float((restored - wanted).abs().max()) <= _ALIKE:
            seconds[name] = best
    return seconds


def _run(runtime: Runtime, image: torch.Tensor) -> tuple[torch.Tensor, float]:
    context = runtime.context(image)
    started = time.perf_counter()
    restored = runtime.run(image, context)
    return restored, time.perf_counter() - started


def _remembered(key: str, names: list[str]) -> Choice | None:
    parts = read_parts(key)
    try:
        found = json.loads((parts or {})[_FILE])
        seconds = {str(name): float(value) for name, value in found["seconds"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Choice(found["runtime"], seconds, remembered=True) if found.get("runtime") in names else None


def _fingerprint(backbone: Backbone, adapters: list[Adapter], names: list[str]) -> str:
    """Return a hash of all that decides about which runtime is fastest: the machine and the network."""
    plain = [
        *_machine(),
        str(torch.get_num_threads()),
        __version__,
        *(_version(library) for name in names for library in LIBRARIES.get(name, ("torch",))),
        *(f"{adapter.name} {adapter.config.kind}" for adapter in adapters),
    ]
    return hashlib.sha256("\n".join([*plain, base_sha256(backbone)]).encode()).hexdigest()


def _version(library: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return library


def _machine() -> list[str]:
    processor = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        processor = next(line for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return [platform.system(), platform.machine(), processor, str(os.cpu_count())]
