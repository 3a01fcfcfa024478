"""The runtimes by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from polyrestore.adapters import Adapter
from polyrestore.backbones import Backbone
from polyrestore.errors import (
    UnknownRuntimeError,
    unknown_name,
)
from polyrestore.runtimes.base import Runtime
from polyrestore.runtimes.onnx import OnnxRuntime
from polyrestore.runtimes.openvino import OpenVinoRuntime
from polyrestore.runtimes.torch import TorchRuntime

RUNTIMES: dict[str, Callable[[Backbone, Iterable[Adapter], torch.device, str], Runtime]] = {
    "torch": TorchRuntime,
    "openvino": OpenVinoRuntime,
    "onnx": OnnxRuntime,
}
"""What makes a runtime of a backbone, its adapters, a device and a precision, by the runtime's name."""


def open_runtime(
    name: str, backbone: Backbone, adapters: Iterable[Adapter], device: torch.device, precision: str
) -> Runtime:
    """Make the runtime with this name.

    Raises:
        UnknownNameError: there is no such runtime or precision.
        AdapterError: an adapter does not fit the backbone.
        BackboneError: the network cannot be run in this way on this device.
        MissingExtraError: the runtime's library is not installed.
    """
    if name not in RUNTIMES:
        raise unknown_name("runtime", name, RUNTIMES, UnknownRuntimeError)
    return RUNTIMES[name](backbone, adapters, device, precision)
