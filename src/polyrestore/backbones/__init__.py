"""Backbones by name; each describes itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyrestore.backbones.airnet import AirNet
from polyrestore.backbones.base import Backbone, BackboneDescription
from polyrestore.backbones.capabilities import BaseReference, BorrowsModel, Contrastive, Generative, Stepped
from polyrestore.backbones.compact import Compact
from polyrestore.backbones.flow import Flow
from polyrestore.backbones.latent import Latent
from polyrestore.backbones.nafnet import NAFNet
from polyrestore.backbones.promptir import PromptIR
from polyrestore.backbones.restormer import Restormer
from polyrestore.backbones.transweather import TransWeather
from polyrestore.backbones.unet import UNet
from polyrestore.errors import BackboneError, unknown_name

BACKBONES: dict[str, type[Backbone]] = {
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


def build_backbone(name: str, **options: Any) -> Backbone:
    """Build an untrained backbone.

    Raises:
        UnknownNameError: no backbone has this name.
        BackboneError: the backbone does not take one of the options, or not this value.
    """
    if name not in BACKBONES:
        raise unknown_name("backbone", name, BACKBONES)
    try:
        return BACKBONES[name](**options)
    except (TypeError, ValueError) as error:
        plain = {key: value for key, value in options.items() if not isinstance(value, Mapping)}
        raise BackboneError(f"backbone {name!r} cannot be built with {plain}: {error}") from error


__all__ = [
    "BACKBONES",
    "Backbone",
    "BackboneDescription",
    "BaseReference",
    "BorrowsModel",
    "Contrastive",
    "Generative",
    "Stepped",
    "build_backbone",
]
