"""How much further a pixel reaches with adapters than without: tiles must overlap by that much more."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from polyrestore.adapters.bank import AdapterBank
from polyrestore.adapters.layer import AdaptedLayer


@torch.no_grad()
def added_radius_px(bank: AdapterBank, probe_px: int) -> int:
    """Return an upper bound on what the adapters that act now add to the backbone's receptive radius.

    How far a part sees beyond its layer, at the layer's resolution, is known to its kind; the resolution is
    found by running the backbone once. Layers are counted as if they all came one after the other.

    Args:
        bank: with a composition that acts, merged or not.
        probe_px: side of the square image to run: a size that the backbone takes without padding, and large
            enough for its coarsest features to be more than one pixel.
    """
    acting = bank.composition
    samples = acting if isinstance(acting, list) else [acting]
    names = {name for sample in samples for name in sample}
    steps_px: list[float] = []

    def recording(pixels: int) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def record(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            features: Tensor = inputs[0]
            # Features of one pixel are pooled, not local: their neighbours are padding.
            if features.ndim == 4 and features.shape[-1] > 1:
                steps_px.append(pixels * probe_px / features.shape[-1])

        return record

    handles = []
    for layer in bank.backbone.modules():
        if isinstance(layer, AdaptedLayer):
            parts = [layer.part(name) for name in sorted(names) if layer.has_part(name)]
            pixels = max((part.added_reach(layer.base_layer) for part in parts), default=0)
            if pixels:
                handles.append(layer.register_forward_pre_hook(recording(pixels)))
    if not handles:
        return 0
    parameter = next(bank.backbone.parameters())
    try:
        bank.backbone(torch.zeros(len(samples), 3, probe_px, probe_px).to(parameter))
    finally:
        for handle in handles:
            handle.remove()
    return math.ceil(sum(steps_px))
