"""The wrapper around one backbone layer that adds the active adapters' parts to its output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from polyrestore.adapters.part import AdapterPart
from polyrestore.errors import CompositionError

ActiveWeights = dict[str, float] | dict[str, Tensor]
"""By adapter name, in order: one weight for whole batches, or (B,) weights, one per sample."""


class AdaptedLayer(nn.Module):
    """A backbone layer, kept as ``base_layer``, with the parts of any number of adapters beside it.

    Attributes that it does not have itself (``weight``, ``in_channels``) are those of the base layer.
    """

    base_layer: nn.Module

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer
        # Prefixed keys: a ModuleDict refuses names of its own methods, and "train" is a fine adapter name.
        self.parts = nn.ModuleDict()
        self.active: ActiveWeights = {}
        self._bare_weight: Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_layer":
                raise
            return getattr(self.base_layer, name)

    def add_part(self, name: str, part: AdapterPart) -> None:
        """Put the part of adapter ``name`` beside the layer, inactive."""
        self.parts[f"adapter_{name}"] = part

    def remove_part(self, name: str) -> None:
        """Take the part of adapter ``name`` away."""
        del self.parts[f"adapter_{name}"]

    def has_part(self, name: str) -> bool:
        """Return whether adapter ``name`` acts on this layer."""
        return f"adapter_{name}" in self.parts

    def part(self, name: str) -> AdapterPart:
        """Return the part of adapter ``name``."""
        part = self.parts[f"adapter_{name}"]
        assert isinstance(part, AdapterPart)
        return part

    @property
    def bare_weight(self) -> Tensor:
        """The layer's own weight, whether or not adapters are merged into the one in use."""
        weight = self.base_layer.weight
        assert isinstance(weight, nn.Parameter)
        if self._bare_weight is None:
            return weight.data
        # The network may have been moved or converted since the merge.
        return self._bare_weight.to(device=weight.device, dtype=weight.dtype)

    def merge(self, weights: dict[str, float]) -> None:
        """Use :meth:`merged_weight` as the layer's weight; W0 itself is set aside, never overwritten."""
        self.unmerge()
        if not weights:
            return
        weight = self.base_layer.weight
        assert isinstance(weight, nn.Parameter)
        merged = self.merged_weight(weights)
        self._bare_weight = weight.data
        weight.data = merged

    def merged_weight(self, weights: dict[str, float]) -> Tensor:
        """Return ``W0 + sum_i weight_i * update_i``, whatever acts now; the bare W0 itself without weights.

        The sum is taken in float32, in the order of ``weights``.
        """
        bare = self.bare_weight
        if not weights:
            return bare
        merged = bare.float().clone(memory_format=torch.preserve_format)
        for name, value in weights.items():
            merged.add_(self.part(name).weight_update(), alpha=value)
        return merged.to(bare.dtype)

    def unmerge(self) -> None:
        """Use the bare weight again, bit for bit."""
        if self._bare_weight is not None:
            weight = self.base_layer.weight
            assert isinstance(weight, nn.Parameter)
            weight.data = self.bare_weight
            self._bare_weight = None

    def forward(self, features: Tensor) -> Tensor:
        """Return the base layer's output plus the active parts' ones, in the order of adapter names.

        Raises:
            CompositionError: weights per sample are active and their number is not the batch size.
        """
        updates = [(self.part(name), weight) for name, weight in self.active.items()]
        if updates and all(part.mergeable and isinstance(weight, float) for part, weight in updates):
            return self._forward_with(updates, features)
        output: Tensor = self.base_layer(features)
        per_sample: dict[type[AdapterPart], list[tuple[AdapterPart, Tensor]]] = {}
        for name, weight in self.active.items():
            part = self.part(name)
            if isinstance(weight, Tensor):
                if len(weight) != len(features):
                    raise CompositionError(
                        f"there are weights for {len(weight)} samples but the batch has {len(features)}; "
                        "give one composition per sample"
                    )
                per_sample.setdefault(type(part), []).append((part, weight))
            else:
                added: Tensor = part(features, self.base_layer, weight)
                output = output + added
        for kind, parts in per_sample.items():
            output = kind.add_per_sample(output, features, self.base_layer, parts)
        return output

    def _forward_with(self, updates: list[tuple[AdapterPart, Any]], features: Tensor) -> Tensor:
        """Return the output under an updated weight, through which gradients reach the parts.

        A layer has far fewer weights than its feature maps have values, so this is the cheaper order.
        """
        weight = self.base_layer.weight
        assert isinstance(weight, Tensor)
        with torch.autocast(features.device.type, enabled=False):
            for part, scale in updates:
                weight = weight + (part.weight_update() * scale).to(weight.dtype)
        output: Tensor = functional_call(self.base_layer, {"weight": weight}, (features,))
        return output


def bare_state_dict(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's state dict as if it had no adapters: its own keys and weights, even while merged."""
    modules = dict(network.named_modules(remove_duplicate=False))
    state: dict[str, Tensor] = {}
    for key, value in network.state_dict().items():
        if isinstance(modules.get(key.partition(".parts.adapter_")[0]), AdaptedLayer):
            continue
        path, _, name = key.rpartition(".base_layer.")
        layer = modules.get(path)
        if isinstance(layer, AdaptedLayer):
            state[f"{path}.{name}"] = layer.bare_weight if name == "weight" else value
        else:
            state[key] = value
    return state
