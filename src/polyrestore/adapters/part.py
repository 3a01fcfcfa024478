"""What one adapter adds to one layer, whatever its kind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from polyrestore.adapters.config import AdapterConfig
from polyrestore.backbones.base import AdaptableLayers

Scale = float | Tensor
"""A composition weight: one number, or a tensor that broadcasts over the layer's output (one per sample)."""


class AdapterPart(nn.Module):
    """The share of one adapter that sits beside one layer.

    ``state_dict()`` keys are the names of the tensors in files, after the layer's module path. A part never
    owns its layer: the layer is handed to each call, so that several parts can share it.

    Attributes:
        config_class: the kind's configuration, which also says how it is written to a file.
        mergeable: whether the part can become an update of its layer's weight.
        tensor_names: the keys of the part's state dict.
    """

    config_class: ClassVar[type[AdapterConfig]]
    mergeable: ClassVar[bool]
    tensor_names: ClassVar[tuple[str, ...]]

    def __init__(self, config: AdapterConfig, layer: nn.Module) -> None:
        super().__init__()

    @staticmethod
    def accepts(layer: nn.Module) -> bool:
        """Return whether this kind of adapter can sit beside ``layer``."""
        raise NotImplementedError

    @staticmethod
    def preferred(layers: AdaptableLayers) -> tuple[str, ...] | None:
        """Return which of a backbone's layers this kind sits beside by default; None for all it accepts."""
        raise NotImplementedError

    def initialise(self, generator: Generator) -> None:
        """Draw starting values from ``generator`` such that the part adds nothing yet."""
        raise NotImplementedError

    def added_reach(self, layer: nn.Module) -> int:
        """Return how many pixels further than with ``layer`` alone an output sees, at the layer's resolution.

        A part that can be merged into the layer's weight adds none.
        """
        return 0

    @classmethod
    def grow(
        cls,
        fresh: Mapping[str, Tensor],
        config: AdapterConfig,
        smaller: Mapping[str, Tensor],
        smaller_config: AdapterConfig,
    ) -> dict[str, Tensor]:
        """Return the tensors with which a larger part of one layer computes what a smaller one did.

        Every tensor of the smaller part takes the first places of the larger one's; what is left stays as
        :meth:`initialise` made it, and adds nothing.

        Args:
            fresh: tensors by name of a part that adds nothing yet.
            config: what holds for it.
            smaller: tensors by name of the trained part.
            smaller_config: what held for that one.

        Raises:
            ValueError: the smaller part is not smaller in every direction.
        """
        grown = {name: tensor.clone() for name, tensor in fresh.items()}
        for name, old in smaller.items():
            new = grown[name]
            if old.dim() != new.dim() or any(o > n for o, n in zip(old.shape, new.shape, strict=True)):
                raise ValueError(f"{name} of shape {tuple(old.shape)} is no part of {tuple(new.shape)}")
            new[tuple(slice(0, length) for length in old.shape)] = old
        return grown

    def forward(self, features: Tensor, layer: nn.Module, scale: Scale) -> Tensor:
        """Return what is added to the layer's output, multiplied by ``scale``."""
        raise NotImplementedError

    @classmethod
    def add_per_sample(
        cls,
        output: Tensor,
        features: Tensor,
        layer: nn.Module,
        parts: Sequence[tuple[AdapterPart, Tensor]],
    ) -> Tensor:
        """Return ``output`` plus what parts of this kind add to it, each with its own weight per sample.

        Each part is computed only for the samples on which it acts.

        Args:
            output: of ``layer`` for ``features``, both with B samples.
            features: the layer's input.
            layer: the base layer.
            parts: of this kind, with (B,) weights.
        """
        for part, weights in parts:
            samples = weights.nonzero().squeeze(1)
            scale = weights[samples].reshape(-1, *(1 for _ in features.shape[1:])).to(features)
            samples = samples.to(features.device)
            added: Tensor = part(features.index_select(0, samples), layer, scale)
            output = output.index_add(0, samples, added.to(output.dtype))
        return output

    def weight_update(self) -> Tensor:
        """Return the same as an update of the layer's weight, in float32; mergeable kinds only."""
        raise NotImplementedError

    def scaled_state(self, scale: float) -> dict[str, Tensor]:
        """Return the state dict of a part that adds ``scale`` times as much; kinds that never merge only."""
        raise NotImplementedError


class Weights(nn.Module):
    """Bare ``weight`` and ``bias``: modules of torch would draw from the global generator."""

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, shape: tuple[int, ...], *, like: Tensor, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape, device=like.device))
        self.bias = nn.Parameter(torch.zeros(shape[0], device=like.device)) if bias else None

    def draw(self, generator: Generator) -> None:
        """Fill with torch's own defaults for convolutions and linear layers (Kaiming uniform, a = sqrt 5)."""
        # Drawn on the generator's device: the same seed gives the same adapter wherever the network lives.
        shape = self.weight.shape
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        with torch.no_grad():
            drawn = torch.empty(shape, device=generator.device).uniform_(-bound, bound, generator=generator)
            self.weight.copy_(drawn)
            if self.bias is not None:
                drawn = torch.empty(shape[0], device=generator.device)
                self.bias.copy_(drawn.uniform_(-bound, bound, generator=generator))
