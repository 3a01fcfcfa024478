"""What phases share when they are tried in small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polyrestore.backbones import BACKBONES, build_backbone
from polyrestore.bundles import Bundle, BundleInfo
from polyrestore.errors import (
    UnknownBackboneError,
    unknown_name,
)
from polyrestore.training.phases.export import save_trained


def tiny_backbone_options(name: str) -> dict[str, Any]:
    """Return the options of the smallest sensible network of a kind.

    Raises:
        UnknownNameError: there is no such backbone.
    """
    if name not in BACKBONES:
        raise unknown_name("backbone", name, BACKBONES, UnknownBackboneError)
    return dict(BACKBONES[name].tiny_options)


def save_tiny_bundle(backbone: str, folder: Path) -> Path:
    """Write a bundle that holds an untrained tiny network, and return its folder."""
    network = build_backbone(backbone, **tiny_backbone_options(backbone))
    info = BundleInfo(licence="CC0-1.0", summary="An untrained tiny backbone.")
    return save_trained(folder, Bundle("tiny", network, info=info))
