"""The backbones by name, one line each; each describes itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from polyrestore.backbones.airnet import AirNet
from polyrestore.backbones.base import Backbone
from polyrestore.backbones.bounds import check_options
from polyrestore.backbones.capabilities import BorrowsModel
from polyrestore.backbones.compact import Compact
from polyrestore.backbones.flow import Flow
from polyrestore.backbones.latent import Latent
from polyrestore.backbones.nafnet import NAFNet
from polyrestore.backbones.promptir import PromptIR
from polyrestore.backbones.restormer import Restormer
from polyrestore.backbones.transweather import TransWeather
from polyrestore.backbones.unet import UNet
from polyrestore.devices import require_memory
from polyrestore.errors import (
    BackboneError,
    UnknownBackboneError,
    unknown_name,
)
from polyrestore.registries import Registry

BACKBONES: Registry[type[Backbone]] = Registry(
    {
        "airnet": AirNet,
        "compact": Compact,
        "flow": Flow,
        "latent": Latent,
        "nafnet": NAFNet,
        "promptir": PromptIR,
        "restormer": Restormer,
        "transweather": TransWeather,
        "unet": UNet,
    }
)


def build_backbone(name: str, **options: Any) -> Backbone:
    """Build an untrained backbone, if its options are within their bounds and its weights fit into memory.

    Raises:
        UnknownNameError: no backbone has this name.
        BackboneError: the backbone does not take one of the options, or not this value.
        DeviceMemoryError: there is too little memory for its weights.
    """
    if name not in BACKBONES:
        raise unknown_name("backbone", name, BACKBONES, UnknownBackboneError)
    kind = BACKBONES[name]
    try:
        check_options(kind.bounds, options)
        _require_memory(name, kind, options)
        return kind(**options)
    except (TypeError, ValueError) as error:
        raise BackboneError(f"backbone {name!r} cannot be built: {error}") from error


def outline(build: Callable[[], nn.Module]) -> nn.Module | None:
    """Return a network without memory for its weights, to ask for their shapes.

    Args:
        build: makes the network.

    Returns:
        None where a network cannot be made without values.
    """
    try:
        with torch.device("meta"):
            return build()
    except (NotImplementedError, RuntimeError):
        return None


def _require_memory(name: str, kind: type[Backbone], options: Mapping[str, Any]) -> None:
    device = torch.get_default_device()
    # Another model's weights are not made here: whoever loads them asks.
    if device.type == "meta" or issubclass(kind, BorrowsModel):
        return
    network = outline(lambda: kind(**options))
    if network is not None:
        size = sum(value.numel() * value.element_size() for value in network.state_dict().values())
        require_memory(size, device, f"backbone {name!r}")
