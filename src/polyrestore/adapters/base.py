"""Which frozen weights an adapter belongs to: it states them, and is refused beside any others."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from torch import nn

from polyrestore.adapters.config import Adapter
from polyrestore.adapters.layer import bare_state_dict
from polyrestore.backbones.capabilities import reference_of
from polyrestore.errors import AdapterError
from polyrestore.storage.tensors import tensors_sha256


def base_sha256(network: nn.Module) -> str:
    """Return the SHA-256 by which adapters name a network as their base, with or without adapters in it.

    It is :func:`~polyrestore.storage.tensors.tensors_sha256` of the bare network's state dict, so that it is
    the same for a network and for what comes back of it from a file of float16. Of a network that runs on
    another model's weights it is that model's SHA-256: what it adds may be of any type.
    """
    reference = reference_of(network)
    return tensors_sha256(bare_state_dict(network)) if reference is None else reference.sha256


def check_base(adapter: Adapter, sha256: str, description: str = "this backbone") -> None:
    """Refuse an adapter that says it was trained beside other weights.

    Args:
        adapter: it may say nothing, as a file of PEFT's does.
        sha256: the :func:`base_sha256` of the network that is there.
        description: what that network is, for the message.

    Raises:
        AdapterError: the adapter states another base.
    """
    if adapter.base_sha256 and adapter.base_sha256 != sha256:
        raise AdapterError(
            f"adapter {adapter.name!r} was trained beside the base with SHA-256 "
            f"{adapter.base_sha256[:12]}..., but {description} is {sha256[:12]}...; "
            "take the adapter's own base"
        )


def carry_over(adapter: Adapter, base: nn.Module, extended: nn.Module, free: Collection[str] = ()) -> Adapter:
    """Return an adapter that states another base, in which its own one is there unchanged.

    For whoever gives a trained network a new part: what an adapter was trained beside is still the same.

    Args:
        adapter: trained beside ``base``.
        base: the network as it was.
        extended: the network as it is, with all tensors of ``base`` and some of its own.
        free: paths of modules that may have changed, since what they compute is nothing that the adapter
            relies on.

    Raises:
        AdapterError: the adapter belongs to neither, or a tensor of ``base`` is missing or changed.
    """
    now = base_sha256(extended)
    if adapter.base_sha256 == now:
        return adapter
    check_base(adapter, base_sha256(base), "the network before its extension")
    new = bare_state_dict(extended)
    for key, tensor in bare_state_dict(base).items():
        if any(key.startswith(f"{path}.") for path in free):
            continue
        if key not in new or tensors_sha256({key: tensor}) != tensors_sha256({key: new[key]}):
            state = "changed" if key in new else "missing"
            raise AdapterError(
                f"adapter {adapter.name!r} was trained beside {key!r}, which is {state} in the extended "
                "network; train it again"
            )
    return replace(adapter, base_sha256=now)
