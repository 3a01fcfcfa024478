"""How much further a pixel reaches with adapters than without: tiles must overlap by that much more."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from polyrestore.adapters.bank import AdapterBank
from polyrestore.adapters.layer import AdaptedLayer


@torch.no_grad()
def added_radius_px(bank: AdapterBank, probe_px: int) -> int:
    """Return an upper bound on what the adapters that act now add to the backbone's receptive radius.

    A LoRA adds nothing, and neither does a bottleneck adapter beside a 3x3 convolution, which sees as far.
    Beside a 1x1 convolution it adds one pixel at the resolution of its layer, which is found by running the
    backbone once; layers are counted as if they all came one after the other.

    Args:
        bank: with a composition that acts, merged or not.
        probe_px: side of the square image to run: a size that the backbone takes without padding, and large
            enough for its coarsest features to be more than one pixel.
    """
    steps_px: list[float] = []

    def record(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        features: Tensor = inputs[0]
        # Features of one pixel are pooled, not local: their neighbours are padding.
        if features.ndim == 4 and features.shape[-1] > 1:
            steps_px.append(probe_px / features.shape[-1])

    names = {name for name in bank.names if bank.config(name).kind == "bottleneck"}
    acting = bank.composition
    samples = acting if isinstance(acting, list) else [acting]
    names &= {name for sample in samples for name in sample}
    if not names:
        return 0
    layers = [module for module in bank.backbone.modules() if isinstance(module, AdaptedLayer)]
    beside = [layer for layer in layers if any(layer.has_part(name) for name in names)]
    hooked = [layer for layer in beside if layer.kernel_size == (1, 1)]
    handles = [layer.register_forward_pre_hook(record) for layer in hooked]
    parameter = next(bank.backbone.parameters())
    try:
        bank.backbone(torch.zeros(len(samples), 3, probe_px, probe_px).to(parameter))
    finally:
        for handle in handles:
            handle.remove()
    return math.ceil(sum(steps_px))
