"""The kinds of adapter, one line each."""

from __future__ import annotations

from polyrestore.adapters.bottleneck import BottleneckPart
from polyrestore.adapters.lora import LoraPart
from polyrestore.adapters.part import AdapterPart
from polyrestore.errors import (
    UnknownAdapterKindError,
    unknown_name,
)
from polyrestore.registries import Registry

ADAPTER_KINDS: Registry[type[AdapterPart]] = Registry(
    {
        "lora": LoraPart,
        "bottleneck": BottleneckPart,
    }
)


def adapter_kind(kind: str) -> type[AdapterPart]:
    """Return the part class that implements an adapter kind.

    Raises:
        UnknownNameError: there is no such kind.
    """
    if kind not in ADAPTER_KINDS:
        raise unknown_name("adapter kind", kind, ADAPTER_KINDS, UnknownAdapterKindError)
    return ADAPTER_KINDS[kind]
