"""Bundles of tiny, untrained parts: real files and real inference, no sense in the pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from polyrestore.adapters import AdapterBank, AdapterConfig, LoraConfig
from polyrestore.backbones import Backbone, build_backbone
from polyrestore.bundles import Bundle, BundleInfo, save_bundle
from polyrestore.degradations import DEGRADATIONS
from polyrestore.recognition import BaseRecogniser, build_recogniser

TINY_COMPACT: dict[str, Any] = {
    "width": 8,
    "encoder_blocks": (1, 1),
    "middle_blocks": 1,
    "decoder_blocks": (1, 1),
    "context_dim": 16,
}
"""Options of the backbone that tiny bundles have."""

TWO_LORAS: dict[str, AdapterConfig] = {"noise": LoraConfig(rank=2), "rain": LoraConfig(rank=2)}


def tiny_bundle(
    adapters: Mapping[str, AdapterConfig] = TWO_LORAS,
    *,
    seed: int = 0,
    spread: float = 0.2,
    backbone: Backbone | None = None,
    recogniser: BaseRecogniser | None = None,
    dimension: int = 8,
    settings: Mapping[str, Any] | None = None,
    info: BundleInfo | None = None,
) -> Bundle:
    """Return a bundle whose every part is random.

    Args:
        adapters: by name; each changes the result, the more, the larger the spread.
        seed: decides every value.
        spread: standard deviation of what is added to the adapters' parameters.
        backbone: the network, a tiny ``compact`` by default.
        recogniser: what recognises, a tiny network by default.
        dimension: of the prototypes, as the recogniser has it.
        settings: of the recognition, none by default.
        info: where the bundle came from, nothing by default.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = backbone or build_backbone("compact", **TINY_COMPACT)
        recogniser = recogniser or build_recogniser("network", width=4, dimension=dimension)
    bank = AdapterBank(backbone)
    for name, config in adapters.items():
        bank.create(name, config, generator)
        with torch.no_grad():
            for parameter in bank.parameters(name):
                parameter.add_(torch.randn(parameter.shape, generator=generator) * spread)
    exported = {name: bank.export(name) for name in bank.names}
    bank.detach()
    names = [*exported, "clean"]
    prototypes = torch.nn.functional.normalize(torch.randn(len(names), dimension, generator=generator), dim=1)
    return Bundle(
        name="tiny",
        backbone=backbone,
        adapters=exported,
        recogniser=recogniser,
        prototypes=dict(zip(names, prototypes, strict=True)),
        recognition_settings=dict(settings or {}),
        info=info or BundleInfo(),
    )


def save_tiny_bundle(folder: Path, seed: int = 0) -> Path:
    """Save a bundle with one small LoRA for every degradation, and return its folder."""
    adapters = {name: LoraConfig(rank=1) for name in DEGRADATIONS}
    # No image counts as clean, so that every one is run through the network.
    settings = {"clean_threshold": 1.1}
    return save_bundle(folder, tiny_bundle(adapters, seed=seed, spread=0.02, dimension=16, settings=settings))
