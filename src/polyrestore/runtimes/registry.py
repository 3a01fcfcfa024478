"""The runtimes by name."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from polyrestore.adapters import Adapter
from polyrestore.backbones import Backbone
from polyrestore.errors import (
    UnknownRuntimeError,
    unknown_name,
)
from polyrestore.runtimes.base import Runtime
from polyrestore.runtimes.choosing import Maker, choose_runtime
from polyrestore.runtimes.onnx import OnnxRuntime
from polyrestore.runtimes.openvino import OpenVinoRuntime
from polyrestore.runtimes.torch import TorchRuntime

AUTO = "auto"
"""In place of a runtime's name: the one that is fastest here."""

RUNTIMES: dict[str, Maker] = {
    "torch": TorchRuntime,
    "openvino": OpenVinoRuntime,
    "onnx": OnnxRuntime,
}
"""What makes a runtime of a backbone, its adapters, a device and a precision, by the runtime's name."""


def open_runtime(
    name: str, backbone: Backbone, adapters: Iterable[Adapter], device: torch.device, precision: str
) -> Runtime:
    """Make the runtime with this name; for :data:`AUTO`, the one that is fastest for this network here.

    Raises:
        UnknownNameError: there is no such runtime or precision.
        AdapterError: an adapter does not fit the backbone.
        BackboneError: the network cannot be run in this way on this device.
        MissingExtraError: the runtime's library is not installed.
    """
    known = tuple(adapters)
    if name == AUTO:
        choice = choose_runtime(RUNTIMES, backbone, known, device, precision)
        runtime = RUNTIMES[choice.runtime](backbone, known, device, precision)
        runtime.chosen = None if choice.remembered else choice.sentence()
        return runtime
    if name not in RUNTIMES:
        raise unknown_name("runtime", name, (*RUNTIMES, AUTO), UnknownRuntimeError)
    return RUNTIMES[name](backbone, known, device, precision)
