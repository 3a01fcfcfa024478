"""What the adapters of a bundle state of it, so that each of their folders can be taken elsewhere.

In memory a bundle has the prototypes of all its adapters, and what recognition is told of them, in one place;
on disk each adapter has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from polyrestore.adapters import Adapter, Prototype, base_sha256
from polyrestore.backbones.capabilities import reference_of
from polyrestore.bundles.bundle import Bundle
from polyrestore.errors import AdapterError
from polyrestore.recognition import BaseRecogniser

# The recognition settings that are by adapter, and what a prototype has of each.
BY_ADAPTER = {
    "minimum_shares": "least_share",
    "supersedes": "supersedes",
    "least_changes": "least_change",
    "beside_shares": "beside_share",
}


def stated_adapters(bundle: Bundle) -> dict[str, Adapter]:
    """Return a bundle's adapters as they are written: with their base, their prototype and its settings.

    An adapter that names no base is taken to be of the bundle's backbone.
    """
    if not bundle.adapters:
        return {}
    base = base_sha256(bundle.backbone)
    recogniser = "" if bundle.recogniser is None else bundle.recogniser.fingerprint()
    return {
        name: replace(
            adapter,
            base_sha256=adapter.base_sha256 or base,
            prototype=Prototype(
                bundle.prototypes[name], recogniser, **_stated(bundle.recognition_settings, name)
            )
            if name in bundle.prototypes
            else None,
        )
        for name, adapter in bundle.adapters.items()
    }


def settings_of(prototype: Prototype) -> dict[str, Any]:
    """Return what a prototype says of its adapter, by recognition setting, and nothing else."""
    said = {key: getattr(prototype, attribute) for key, attribute in BY_ADAPTER.items()}
    said["supersedes"] = list(prototype.supersedes) or None
    return {key: value for key, value in said.items() if value is not None}


def base_description(bundle: Bundle) -> str:
    """Return which backbone a bundle's adapters belong to, for the reader of their files."""
    reference = reference_of(bundle.backbone)
    return f"polyrestore/{bundle.backbone.description.name}" if reference is None else reference.model


def settings_beside_adapters(bundle: Bundle) -> dict[str, Any]:
    """Return the recognition settings that no adapter of a bundle states itself."""
    settings = dict(bundle.recognition_settings)
    stated = bundle.adapters.keys() & bundle.prototypes.keys()
    for key in BY_ADAPTER:
        if values := _by_adapter(settings, key):
            settings[key] = {name: value for name, value in values.items() if name not in stated}
    return settings


def gathered_prototypes(others: Mapping[str, Tensor], adapters: Mapping[str, Adapter]) -> dict[str, Tensor]:
    """Return a bundle's prototypes by name, sorted: those that are no adapter's, and the adapters' own."""
    own = {name: each.prototype.embedding for name, each in adapters.items() if each.prototype is not None}
    return dict(sorted({**others, **own}.items()))


def gathered_settings(beside: Mapping[str, Any], adapters: Mapping[str, Adapter]) -> dict[str, Any]:
    """Return a bundle's recognition settings: those beside the adapters, and what the adapters state."""
    settings = dict(beside)
    stated = {
        name: settings_of(each.prototype) for name, each in adapters.items() if each.prototype is not None
    }
    for key in BY_ADAPTER:
        own = {name: said[key] for name, said in stated.items() if key in said}
        if own:
            settings[key] = {**_by_adapter(beside, key), **own}
    return settings


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


def lengths_of(recogniser: BaseRecogniser) -> tuple[int, int]:
    """Return how long a prototype for a recogniser is, and how long with the detail."""
    return recogniser.dimension, recogniser.dimension + recogniser.detail_dimension


def _by_adapter(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    # What is no mapping is refused by whoever uses the settings.
    values = settings.get(key, {})
    return values if isinstance(values, Mapping) else {}


def _stated(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what recognition settings say of one adapter, by a prototype's attribute."""
    said = {
        attribute: values[name]
        for key, attribute in BY_ADAPTER.items()
        if name in (values := _by_adapter(settings, key))
    }
    return said | {"supersedes": tuple(said.get("supersedes", ()))}
