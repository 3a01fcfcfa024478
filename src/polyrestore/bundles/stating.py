"""What the adapters of a bundle state of it, so that each of their folders can be taken elsewhere.

In memory a bundle has the prototypes and the least shares of all its adapters in one place; on disk each
adapter has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from polyrestore.adapters import Adapter, Prototype, base_sha256
from polyrestore.bundles.bundle import Bundle
from polyrestore.errors import AdapterError

_SHARES = "minimum_shares"


def stated_adapters(bundle: Bundle) -> dict[str, Adapter]:
    """Return a bundle's adapters as they are written: with their base, their prototype and their least share.

    An adapter that names no base is taken to be of the bundle's backbone.
    """
    if not bundle.adapters:
        return {}
    base = base_sha256(bundle.backbone)
    recogniser = "" if bundle.recogniser is None else bundle.recogniser.fingerprint()
    shares = _shares(bundle.recognition_settings)
    return {
        name: replace(
            adapter,
            base_sha256=adapter.base_sha256 or base,
            prototype=Prototype(bundle.prototypes[name], recogniser, shares.get(name))
            if name in bundle.prototypes
            else None,
        )
        for name, adapter in bundle.adapters.items()
    }


def settings_beside_adapters(bundle: Bundle) -> dict[str, Any]:
    """Return the recognition settings that no adapter of a bundle states itself."""
    settings, shares = dict(bundle.recognition_settings), _shares(bundle.recognition_settings)
    stated = bundle.adapters.keys() & bundle.prototypes.keys()
    return settings | ({_SHARES: {n: shares[n] for n in shares if n not in stated}} if shares else {})


def gathered_prototypes(others: Mapping[str, Tensor], adapters: Mapping[str, Adapter]) -> dict[str, Tensor]:
    """Return a bundle's prototypes by name, sorted: those that are no adapter's, and the adapters' own."""
    own = {name: each.prototype.embedding for name, each in adapters.items() if each.prototype is not None}
    return dict(sorted({**others, **own}.items()))


def gathered_settings(beside: Mapping[str, Any], adapters: Mapping[str, Adapter]) -> dict[str, Any]:
    """Return a bundle's recognition settings: those beside the adapters, and the adapters' least shares."""
    own = {
        name: each.prototype.least_share
        for name, each in adapters.items()
        if each.prototype is not None and each.prototype.least_share is not None
    }
    return {**beside, _SHARES: {**_shares(beside), **own}} if own else dict(beside)


def check_recogniser(adapter: Adapter, fingerprint: str) -> None:
    """Refuse an adapter whose prototype is not to be compared with what a recogniser sees.

    Args:
        adapter: it may have no prototype.
        fingerprint: of the recogniser; empty where there is none.

    Raises:
        AdapterError: another recogniser made the prototype.
    """
    stated = "" if adapter.prototype is None else adapter.prototype.recogniser_sha256
    if stated and fingerprint and stated != fingerprint:
        raise AdapterError(
            f"the prototype of adapter {adapter.name!r} was made by the recogniser with SHA-256 "
            f"{stated[:12]}..., but this one is {fingerprint[:12]}...; make it again with the recogniser here"
        )


def _shares(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    # What is no mapping is refused by whoever uses the settings.
    shares = settings.get(_SHARES, {})
    return shares if isinstance(shares, Mapping) else {}
