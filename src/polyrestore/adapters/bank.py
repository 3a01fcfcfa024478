"""Many adapters on one frozen backbone: which there are, which act, and how strongly."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from polyrestore.adapters.base import base_sha256, check_base
from polyrestore.adapters.checking import (
    adaptable_layers,
    build_parts,
    resolve_targets,
)
from polyrestore.adapters.composition import checked_composition, checked_sample_weights
from polyrestore.adapters.config import Adapter, AdapterConfig, check_adapter_name
from polyrestore.adapters.layer import AdaptedLayer, bare_state_dict
from polyrestore.adapters.part import AdapterPart
from polyrestore.adapters.registry import adapter_kind
from polyrestore.errors import AdapterError, nearest_names


class AdapterBank:
    """The adapters of one backbone.

    The backbone is frozen, and changed in place: every adapted layer is replaced by an :class:`AdaptedLayer`
    around it, and put back when no adapter needs it. Without an active adapter it computes what it did
    before, bit for bit. Layers must be called as modules; code that reads a layer's weight sees only merged
    adapters.

    Example:
        >>> import torch
        >>> from polyrestore.adapters import AdapterBank, LoraConfig
        >>> backbone = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 1), torch.nn.Conv2d(8, 3, 3, padding=1))
        >>> bank = AdapterBank(backbone)
        >>> bank.create("rain", LoraConfig(rank=2), torch.Generator().manual_seed(0))
        >>> bank.merge({"rain": 0.7})
        >>> backbone(torch.rand(1, 3, 4, 4)).shape
        torch.Size([1, 3, 4, 4])

    Raises:
        AdapterError: the backbone already belongs to a bank.
    """

    def __init__(self, backbone: nn.Module) -> None:
        if any(isinstance(module, AdaptedLayer) for module in backbone.modules()):
            raise AdapterError("the backbone already has adapters; use its bank, or detach that one first")
        self.backbone = backbone
        self._layers = {path: module for path, module in backbone.named_modules() if path}
        self._adaptable = adaptable_layers(backbone)
        self._adapted: dict[str, AdaptedLayer] = {}
        self._configs: dict[str, AdapterConfig] = {}
        self._composition: dict[str, float] | list[dict[str, float]] = {}
        self._merged = False
        self._was_trainable = {name: p.requires_grad for name, p in backbone.named_parameters()}
        self._own_parameters = tuple(backbone.parameters())
        self._hashed: tuple[list[int], str] | None = None
        backbone.requires_grad_(False)

    @property
    def names(self) -> tuple[str, ...]:
        """The adapters' names, sorted."""
        return tuple(sorted(self._configs))

    @property
    def composition(self) -> dict[str, float] | list[dict[str, float]]:
        """The weights that act now, without zeros; a list when they differ between samples."""
        if isinstance(self._composition, dict):
            return dict(self._composition)
        return [dict(sample) for sample in self._composition]

    @property
    def is_merged(self) -> bool:
        """Whether the composition that acts now is merged into the weights."""
        return self._merged

    @property
    def base_sha256(self) -> str:
        """What the adapters state as their base, see :func:`polyrestore.adapters.base_sha256`."""
        # Whoever lets the backbone learn along with its adapters changes what they belong to.
        versions = [0 if each.is_inference() else each._version for each in self._own_parameters]
        if self._hashed is None or self._hashed[0] != versions:
            self._hashed = (versions, base_sha256(self.backbone))
        return self._hashed[1]

    def config(self, name: str) -> AdapterConfig:
        """Return the configuration of an adapter, with its targets spelt out.

        Raises:
            AdapterError: there is no such adapter.
        """
        if name not in self._configs:
            hint = nearest_names(name, self._configs) if self._configs else "the bank is empty"
            raise AdapterError(f"unknown adapter {name!r}; {hint}")
        return self._configs[name]

    def add(self, adapter: Adapter) -> None:
        """Add a trained adapter, inactive.

        Raises:
            AdapterError: the name is taken, the adapter does not fit or states another base; nothing has
                changed then.
        """
        self._check_free(adapter.name)
        # An adapter that names no base is not worth the time that hashing takes.
        if adapter.base_sha256:
            check_base(adapter, self.base_sha256)
        self._install(adapter.name, adapter.config, build_parts(adapter, self._layers, self._adaptable))

    def create(self, name: str, config: AdapterConfig, generator: Generator) -> None:
        """Add a new adapter that adds nothing yet, inactive, with starting values from ``generator``.

        Raises:
            AdapterError: the name is taken or cannot be used, or the targets do not fit; nothing has changed.
        """
        self._check_free(name)
        check_adapter_name(name)
        part_class = adapter_kind(config.kind)
        targets = resolve_targets(config, self._layers, self._adaptable)
        parts = {path: part_class(config.at(path), self._layers[path]) for path in targets}
        for part in parts.values():
            part.initialise(generator)
        self._install(name, config, parts)

    def remove(self, name: str) -> None:
        """Remove an adapter; no adapter is active afterwards.

        Raises:
            AdapterError: there is no such adapter.
        """
        self.config(name)
        self.deactivate()
        for path, layer in list(self._adapted.items()):
            if layer.has_part(name):
                layer.remove_part(name)
                if not layer.parts:
                    self._replace(layer, layer.base_layer)
                    del self._adapted[path]
        del self._configs[name]

    def detach(self) -> None:
        """Remove every adapter and give the backbone back as it came, trainable where it was."""
        for name in self.names:
            self.remove(name)
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad_(self._was_trainable.get(name, True))

    def activate(self, weights: Mapping[str, float]) -> None:
        """Let a composition act on whole batches, unmerged, so that gradients reach the adapters.

        Raises:
            CompositionError: an unknown adapter, or a weight that is negative or not finite.
        """
        composition = checked_composition(weights, self._configs)
        self._clear()
        for layer in self._adapted.values():
            layer.active = {name: value for name, value in composition.items() if layer.has_part(name)}
        self._composition = composition

    def activate_per_sample(self, weights: Sequence[Mapping[str, float]]) -> None:
        """Let a composition of its own act on every sample of the batches that follow, unmerged.

        Args:
            weights: one composition per sample, in the order of the batch.

        Raises:
            CompositionError: as in :meth:`activate`; the forward pass raises it for another batch size.
        """
        active = checked_sample_weights(weights, self._configs)
        self._clear()
        for layer in self._adapted.values():
            layer.active = {name: value for name, value in active.items() if layer.has_part(name)}
        self._composition = [checked_composition(sample, self._configs) for sample in weights]

    def deactivate(self) -> None:
        """Let no adapter act: the bare backbone, bit for bit."""
        self.activate({})

    def merge(self, weights: Mapping[str, float]) -> None:
        """Let a composition act, merged into the weights where its adapters allow it.

        LoRA updates then cost nothing per pixel and receive no gradients; bottleneck parts stay in parallel.

        Raises:
            CompositionError: as in :meth:`activate`.
        """
        composition = checked_composition(weights, self._configs)
        self._clear()
        device_type = next(iter(self.backbone.parameters())).device.type
        # Merged weights outlive the caller's block: they must not be bound to its inference mode or
        # precision.
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(device_type, enabled=False):
            for layer in self._adapted.values():
                acting = {name: value for name, value in composition.items() if layer.has_part(name)}
                layer.merge({name: value for name, value in acting.items() if layer.part(name).mergeable})
                layer.active = {n: value for n, value in acting.items() if not layer.part(n).mergeable}
        self._composition, self._merged = composition, True

    def unmerge(self) -> None:
        """Give every layer its bare weight back, bit for bit; no adapter is active afterwards."""
        self.deactivate()

    @contextlib.contextmanager
    def composed(self, weights: Mapping[str, float], *, merged: bool = True) -> Iterator[nn.Module]:
        """Let a composition act for the length of a block, then restore what acted before.

        Args:
            weights: the composition.
            merged: merge it, which takes as much memory again as the adapted layers have; otherwise each
                layer's update is made anew whenever it runs.

        Yields:
            the backbone.

        Raises:
            CompositionError: as in :meth:`activate`.
        """
        before, was_merged = self._composition, self._merged
        if merged:
            self.merge(weights)
        else:
            self.activate(weights)
        try:
            yield self.backbone
        finally:
            if isinstance(before, list):
                self.activate_per_sample(before)
            elif was_merged:
                self.merge(before)
            else:
                self.activate(before)

    def composed_state(self, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Return all tensors of one composition, for a runtime that takes weights as inputs.

        Nothing changes here, whatever acts meanwhile. Keys and shapes are the same for every composition, so
        that a graph which is built once serves them all:

        - the bare backbone's own keys. Adapters that can be merged are merged into their layers' weights, as
          :meth:`merge` does it.
        - ``{layer}.parallel.{adapter}.{tensor}`` for every part that stays in parallel. The graph adds to the
          layer's output what the part computes from the layer's input, at scale 1: the adapter's weight is
          in the part's tensors already, and one that does not act adds nothing.

        Tensors that no adapter changes share the backbone's memory.

        Raises:
            CompositionError: as in :meth:`activate`.
        """
        composition = checked_composition(weights, self._configs)
        state = self.base_state_dict()
        merged = self._merged and composition == self._composition
        with torch.no_grad():
            # A layer with several parents has a key at each of them.
            for path, layer in self.backbone.named_modules(remove_duplicate=False):
                if not isinstance(layer, AdaptedLayer):
                    continue
                acting = {name: value for name, value in composition.items() if layer.has_part(name)}
                merging = {name: value for name, value in acting.items() if layer.part(name).mergeable}
                state[f"{path}.weight"] = layer.weight.data if merged else layer.merged_weight(merging)
                for name in self.names:
                    if layer.has_part(name) and not layer.part(name).mergeable:
                        scaled = layer.part(name).scaled_state(acting.get(name, 0.0))
                        state |= {f"{path}.parallel.{name}.{key}": value for key, value in scaled.items()}
        return state

    def parameters(self, name: str) -> list[nn.Parameter]:
        """Return an adapter's parameters, for an optimiser.

        Raises:
            AdapterError: there is no such adapter.
        """
        self.config(name)
        return [p for part in self._parts(name).values() for p in part.parameters()]

    def export(self, name: str) -> Adapter:
        """Return a copy of an adapter as plain data, float32 on the CPU, with its targets spelt out.

        Raises:
            AdapterError: there is no such adapter, or training has left values in it that are not finite.
        """
        config = self.config(name)
        tensors = {
            f"{path}.{key}": tensor.detach().to("cpu", torch.float32, copy=True)
            for path, part in self._parts(name).items()
            for key, tensor in part.state_dict().items()
        }
        for key, tensor in tensors.items():
            if not bool(torch.isfinite(tensor).all()):
                raise AdapterError(f"adapter {name!r}: {key} holds values that are not finite")
        return Adapter(name, config, tensors, self.base_sha256)

    def base_state_dict(self) -> dict[str, Tensor]:
        """Return the bare backbone's state dict: its own keys and weights, whatever is added or merged."""
        return bare_state_dict(self.backbone)

    def _check_free(self, name: str) -> None:
        if name in self._configs:
            raise AdapterError(f"there already is an adapter {name!r}; remove it first, or use another name")

    def _install(self, name: str, config: AdapterConfig, parts: Mapping[str, AdapterPart]) -> None:
        for path, part in parts.items():
            if path not in self._adapted:
                layer = self._layers[path]
                self._adapted[path] = AdaptedLayer(layer)
                self._adapted[path].train(layer.training)
                self._replace(layer, self._adapted[path])
            self._adapted[path].add_part(name, part.train(self._adapted[path].training))
        self._configs[name] = replace(config, targets=tuple(sorted(parts)))

    def _replace(self, old: nn.Module, new: nn.Module) -> None:
        # Every place: a layer may be shared by several parents.
        for parent in list(self.backbone.modules()):
            if isinstance(parent, AdaptedLayer):
                continue
            for key, child in list(parent._modules.items()):
                if child is old:
                    setattr(parent, key, new)

    def _clear(self) -> None:
        for layer in self._adapted.values():
            layer.unmerge()
            layer.active = {}
        self._composition, self._merged = {}, False

    def _parts(self, name: str) -> dict[str, AdapterPart]:
        return {path: self._adapted[path].part(name) for path in self._adapted_by(name)}

    def _adapted_by(self, name: str) -> list[str]:
        return sorted(path for path, layer in self._adapted.items() if layer.has_part(name))
