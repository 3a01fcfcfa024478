"""A new adapter that starts where a smaller one of its kind ended."""

from __future__ import annotations

from dataclasses import replace

from polyrestore.adapters.checking import split_tensors
from polyrestore.adapters.config import Adapter
from polyrestore.adapters.registry import adapter_kind
from polyrestore.errors import AdapterError


def grow_adapter(fresh: Adapter, smaller: Adapter) -> Adapter:
    """Return a new adapter that computes what a smaller one did, with room to learn more.

    Args:
        fresh: as its bank exports it before any training; it adds nothing yet.
        smaller: of the same kind, no larger in any layer, and with no layer that ``fresh`` lacks.

    Raises:
        AdapterError: the smaller one is of another kind, is larger somewhere, or has other layers.
    """
    problem = f"adapter {fresh.name!r} cannot go on from the earlier one"
    if smaller.config.kind != fresh.config.kind:
        raise AdapterError(f"{problem}, which is of kind {smaller.config.kind!r}, not {fresh.config.kind!r}")
    part_class = adapter_kind(fresh.config.kind)
    tensors = dict(fresh.tensors)
    own = split_tensors(fresh.config.kind, fresh.tensors)
    for path, old in split_tensors(smaller.config.kind, smaller.tensors).items():
        if path not in own:
            raise AdapterError(f"{problem}, which has the layer {path!r} as well")
        try:
            grown = part_class.grow(own[path], fresh.config.at(path), old, smaller.config.at(path))
        except ValueError as error:
            raise AdapterError(f"{problem}, which is larger at {path}: {error}") from error
        tensors |= {f"{path}.{name}": tensor for name, tensor in grown.items()}
    return replace(fresh, tensors=tensors)
