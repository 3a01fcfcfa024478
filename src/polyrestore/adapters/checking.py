"""Checks of an adapter's tensors, made before anything in a network changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from polyrestore.adapters.config import Adapter, AdapterConfig
from polyrestore.adapters.layer import AdaptedLayer
from polyrestore.adapters.part import AdapterPart
from polyrestore.adapters.registry import adapter_kind
from polyrestore.backbones.base import AdaptableLayers, Backbone
from polyrestore.errors import AdapterError, nearest_names


def adaptable_layers(network: nn.Module) -> AdaptableLayers:
    """Return what a network says about its layers; one that is no backbone says nothing."""
    return network.adaptable_layers() if isinstance(network, Backbone) else AdaptableLayers()


def eligible_layers(
    kind: str, layers: Mapping[str, nn.Module], adaptable: AdaptableLayers | None = None
) -> tuple[str, ...]:
    """Return the paths of the layers that an adapter of ``kind`` can sit beside, sorted.

    Args:
        kind: of the adapter.
        layers: by module path.
        adaptable: what their network says about them; layers that it never runs are left out.
    """
    accepts, runs = adapter_kind(kind).accepts, (adaptable or AdaptableLayers()).runs
    return tuple(sorted(path for path, layer in layers.items() if accepts(layer) and runs(path)))


def resolve_targets(
    config: AdapterConfig, layers: Mapping[str, nn.Module], adaptable: AdaptableLayers
) -> tuple[str, ...]:
    """Return the module paths that ``config`` means in a network, sorted.

    Args:
        config: of the adapter.
        layers: the network's modules by path, without adapters.
        adaptable: what the network says about them.

    Raises:
        AdapterError: a target does not exist, is never run, cannot be adapted by this kind, or there is none.
    """
    eligible = eligible_layers(config.kind, layers, adaptable)
    if config.targets is None:
        preferred = adapter_kind(config.kind).preferred(adaptable)
        offered = tuple(path for path in eligible if adaptable.offered(path))
        chosen = offered if preferred is None else tuple(sorted(set(preferred) & set(offered)))
        if not chosen:
            raise AdapterError(f"the backbone has no layer that a {config.kind} adapter can sit beside")
        _check_own_values(config, chosen)
        return chosen
    if not config.targets:
        raise AdapterError("an adapter needs at least one target layer; leave targets out to take every one")
    for path in config.targets:
        if path not in layers:
            raise AdapterError(f"the backbone has no layer {path!r}; {nearest_names(path, eligible)}")
        if not adaptable.runs(path):
            raise AdapterError(f"restoring never runs layer {path!r}; an adapter there would do nothing")
        if path not in eligible:
            raise AdapterError(f"layer {path!r} ({layers[path]}) cannot take a {config.kind} adapter")
    _check_own_values(config, config.targets)
    return tuple(sorted(set(config.targets)))


def _check_own_values(config: AdapterConfig, targets: Collection[str]) -> None:
    """Refuse values of its own for a layer that is not adapted."""
    for path in sorted(config.own_layers() - set(targets)):
        raise AdapterError(
            f"the configuration has values for {path!r}, which is not a target; "
            f"{nearest_names(path, targets)}"
        )


def split_tensors(kind: str, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Sort an adapter's tensors by module path, then by name within the part.

    Raises:
        AdapterError: a tensor's name does not belong to this kind, or one of a layer's tensors is missing.
    """
    names = adapter_kind(kind).tensor_names
    by_path: dict[str, dict[str, Tensor]] = {}
    for key in sorted(tensors):
        name = next((name for name in names if key.endswith("." + name)), None)
        if name is None:
            raise AdapterError(f"{key!r} is not a tensor of a {kind} adapter; expected ones end in {names}")
        by_path.setdefault(key.removesuffix("." + name), {})[name] = tensors[key]
    for path, found in by_path.items():
        missing = [name for name in names if name not in found]
        if missing:
            raise AdapterError(f"layer {path!r} lacks the tensor {path}.{missing[0]}")
    if not by_path:
        raise AdapterError(f"a {kind} adapter without any tensor does nothing; was the file cut short?")
    return by_path


def layer_count(adapter: Adapter) -> int:
    """Return how many layers an adapter sits beside."""
    return len(split_tensors(adapter.config.kind, adapter.tensors))


def check_values(adapter: Adapter) -> None:
    """Refuse tensors that are not floating point or hold NaN or infinity.

    Raises:
        AdapterError: names the first such tensor.
    """
    for key, tensor in sorted(adapter.tensors.items()):
        if not tensor.is_floating_point():
            raise AdapterError(f"adapter {adapter.name!r}: {key} is {tensor.dtype}, not floating point")
        if not bool(torch.isfinite(tensor).all()):
            raise AdapterError(f"adapter {adapter.name!r}: {key} holds values that are not finite")


def check_fits(adapter: Adapter, backbone: nn.Module) -> None:
    """Refuse an adapter whose tensors a bank of ``backbone`` would refuse; nothing changes.

    Raises:
        AdapterError: targets, names, ranks, shapes or values do not fit.
    """
    layers = {path: _bare(module) for path, module in backbone.named_modules() if path}
    build_parts(adapter, layers, adaptable_layers(backbone))


def _bare(layer: nn.Module) -> nn.Module:
    """Return what an adapted layer was before."""
    return layer.base_layer if isinstance(layer, AdaptedLayer) else layer


def build_parts(
    adapter: Adapter, layers: Mapping[str, nn.Module], adaptable: AdaptableLayers
) -> dict[str, AdapterPart]:
    """Return the parts of ``adapter`` by module path, filled and checked but put nowhere yet.

    Raises:
        AdapterError: the adapter does not fit: targets, names, ranks, shapes or values.
    """
    check_values(adapter)
    by_path = split_tensors(adapter.config.kind, adapter.tensors)
    for path in by_path:
        if path not in layers:
            raise AdapterError(
                f"adapter {adapter.name!r} has tensors for {path!r}, which the backbone does not have; "
                "it was made for another one"
            )
    targets = resolve_targets(adapter.config, layers, adaptable)
    if set(targets) != set(by_path):
        path = min(set(targets) ^ set(by_path))
        state = "is a target but has no tensors" if path in targets else "has tensors but is not a target"
        raise AdapterError(f"adapter {adapter.name!r}: layer {path!r} {state}")
    return {path: _filled_part(adapter, path, layers[path], by_path[path]) for path in targets}


def _filled_part(adapter: Adapter, path: str, layer: nn.Module, tensors: dict[str, Tensor]) -> AdapterPart:
    config = adapter.config.at(path)
    part = adapter_kind(config.kind)(config, layer)
    for name, expected in part.state_dict().items():
        if tensors[name].shape != expected.shape:
            raise AdapterError(
                f"adapter {adapter.name!r}: {path}.{name} has shape {tuple(tensors[name].shape)}, "
                f"expected {tuple(expected.shape)} for {config}"
            )
    part.load_state_dict(tensors)
    return part
