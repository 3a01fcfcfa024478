"""A whole bundle of tiny, untrained parts on disk: real files and real inference, no sense in the pixels."""

from __future__ import annotations

from pathlib import Path

import torch

from polyrestore.adapters import AdapterBank, LoraConfig
from polyrestore.backbones import build_backbone
from polyrestore.bundles import Bundle, save_bundle
from polyrestore.degradations import DEGRADATIONS
from polyrestore.recognition import build_recogniser


def save_tiny_bundle(folder: Path, seed: int = 0) -> Path:
    """Save a bundle with one small LoRA for every degradation, and return its folder."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = build_backbone(
            "compact", width=8, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1), context_dim=16
        )
        recogniser = build_recogniser("network", width=8, dimension=16)
    bank = AdapterBank(backbone)
    for name in DEGRADATIONS:
        bank.create(name, LoraConfig(rank=1), generator)
        with torch.no_grad():
            for parameter in bank.parameters(name):
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)
    adapters = {name: bank.export(name) for name in bank.names}
    bank.detach()
    prototypes = torch.nn.functional.normalize(torch.randn(len(adapters) + 1, 16, generator=generator), dim=1)
    bundle = Bundle(
        name="tiny",
        backbone=backbone,
        adapters=adapters,
        recogniser=recogniser,
        prototypes=dict(zip([*adapters, "clean"], prototypes, strict=True)),
        # No image counts as clean, so that every one is run through the network.
        recognition_settings={"clean_threshold": 1.1},
    )
    save_bundle(folder, bundle)
    return folder
