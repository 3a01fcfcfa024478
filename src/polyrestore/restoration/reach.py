"""How far adapters that run beside their layers let an output pixel see beyond the bare backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from polyrestore.adapters import ADAPTER_KINDS, AdapterBank
from polyrestore.backbones.base import Backbone


def added_reach_px(backbone: Backbone, bank: AdapterBank, weights: Mapping[str, float]) -> int:
    """Bound the receptive radius that a composition adds to its backbone, in pixels.

    Merged adapters add nothing. One that stays parallel, with its 3x3 kernel, lets its layer see one step of
    the layer's own resolution further; steps along the network add up, those of parallel adapters do not.

    Args:
        backbone: the backbone that ``bank`` has adapted.
        bank: its adapters.
        weights: the composition.
    """
    paths: set[str] = set()
    for name, weight in weights.items():
        config = bank.config(name)
        if weight and not ADAPTER_KINDS[config.kind].mergeable:
            paths.update(config.targets or ())
    if not paths:
        return 0
    return sum(layer_strides(backbone, paths).values())


def layer_strides(backbone: Backbone, paths: set[str]) -> dict[str, int]:
    """Return by how much each layer's input is smaller than the image, from one run on a small blank image.

    Raises:
        AttributeError: the backbone has no layer of that path.
    """
    description = backbone.description
    multiple = description.size_multiple
    side_px = -(-max(description.minimum_size_px, 4 * multiple) // multiple) * multiple
    strides: dict[str, int] = {}

    def note(path: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs and inputs[0].dim() == 4:
                strides[path] = -(-side_px // inputs[0].shape[-1])

        return hook

    handles = [backbone.get_submodule(path).register_forward_pre_hook(note(path)) for path in sorted(paths)]
    try:
        device = next(backbone.parameters()).device
        with torch.inference_mode():
            backbone(torch.zeros(1, 3, side_px, side_px, device=device))
    finally:
        for handle in handles:
            handle.remove()
    return strides
