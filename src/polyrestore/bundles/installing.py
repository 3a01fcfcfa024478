"""Bundles of a user's own: a copy of another bundle, to which adapters are added and taken away."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from polyrestore.adapters import Adapter, check_base, check_fits
from polyrestore.adapters.base import base_sha256
from polyrestore.bundles.bundle import Bundle
from polyrestore.bundles.loading import load_bundle
from polyrestore.bundles.manifest import Name
from polyrestore.bundles.manifest_file import MANIFEST_FILE
from polyrestore.bundles.shipped import find_bundle, shipped_folder
from polyrestore.bundles.stating import BY_ADAPTER, check_recogniser, lengths_of, settings_of
from polyrestore.degradations import check_name
from polyrestore.errors import AdapterError, BundleError, OutputError, no_adapter


def open_own(place: Path, base: str | None) -> Bundle:
    """Return what a user's bundle holds: itself where it is there, else the one that it is to be a copy of.

    Args:
        place: the folder of the user's bundle.
        base: name or folder of the other one; None for the shipped ``default``. Where the user's bundle is
            there, it must not be given.

    Raises:
        BundleError: the folder is that of a shipped bundle, holds something else, or is there and a base was
            named as well.
        UnknownNameError: no shipped bundle has the base's name.
        OutputError: nothing can be written there.
    """
    require_own(place)
    _require_writable(place)
    if not (place / MANIFEST_FILE).exists():
        if place.is_dir() and any(place.iterdir()):
            raise BundleError(f"{place} holds other files and no bundle; choose another folder")
        if place.exists() and not place.is_dir():
            raise BundleError(f"{place} is not a folder; choose another place")
        found = load_bundle(base or "default")
        return replace(found, name=_name_of(place, found.name))
    if base is not None and not _is_same(find_bundle(base), place):
        raise BundleError(f"{place} is a bundle already and is built on; leave --bundle away")
    return load_bundle(place)


def require_own(place: Path) -> None:
    """Refuse to change what comes with the package.

    Raises:
        BundleError: the folder lies among the shipped bundles.
    """
    if place.resolve().is_relative_to(shipped_folder().resolve()):
        raise BundleError(f"{place} comes with the package and stays as it is; choose a folder of your own")


def taken_name(bundle: Bundle, name: str) -> AdapterError:
    """Return the error for an adapter whose name a bundle has given already."""
    return AdapterError(
        f"{bundle.name} has an adapter {name!r} already; choose another name, or remove that one first"
    )


def with_adapter(bundle: Bundle, adapter: Adapter) -> Bundle:
    """Return a bundle with one adapter more, and with what the adapter brings to be recognised.

    Raises:
        AdapterError: the bundle has one of this name, or the adapter does not fit its network or recogniser.
        DegradationError: its name is reserved.
    """
    check_name(adapter.name)
    if adapter.name in bundle.adapters:
        raise taken_name(bundle, adapter.name)
    check_base(adapter, base_sha256(bundle.backbone), f"the backbone of {bundle.name}")
    check_fits(adapter, bundle.backbone)
    prototype = adapter.prototype
    settings, prototypes = dict(bundle.recognition_settings), dict(bundle.prototypes)
    if prototype is not None and bundle.recogniser is not None:
        check_recogniser(adapter, bundle.recogniser.fingerprint())
        length, fitting = prototype.embedding.numel(), lengths_of(bundle.recogniser)
        if length not in fitting:
            raise AdapterError(
                f"the prototype of adapter {adapter.name!r} has {length} values, the recogniser of "
                f"{bundle.name} needs {fitting[0]}"
            )
        prototypes[adapter.name] = prototype.embedding
        for key, value in settings_of(prototype).items():
            settings[key] = {**settings.get(key, {}), adapter.name: value}
    return replace(
        bundle,
        adapters={**bundle.adapters, adapter.name: replace(adapter, prototype=None)},
        prototypes=prototypes,
        recognition_settings=settings,
        info=bundle.info.model_copy(
            update={"training": {**bundle.info.training, f"adapter {adapter.name}": dict(adapter.record)}}
        ),
    )


def without_adapter(bundle: Bundle, name: str) -> Bundle:
    """Return a bundle without one of its adapters, and without what it was recognised by.

    Raises:
        AdapterError: there is no such adapter.
    """
    if name not in bundle.adapters:
        raise no_adapter(bundle.name, name, bundle.adapters)
    settings = dict(bundle.recognition_settings)
    for key in BY_ADAPTER:
        if name in settings.get(key, {}):
            left = {other: value for other, value in settings.pop(key).items() if other != name}
            settings |= {key: left} if left else {}
    training = {key: value for key, value in bundle.info.training.items() if key != f"adapter {name}"}
    return replace(
        bundle,
        adapters={other: adapter for other, adapter in bundle.adapters.items() if other != name},
        prototypes={other: each for other, each in bundle.prototypes.items() if other != name},
        recognition_settings=settings,
        info=bundle.info.model_copy(update={"training": training}),
    )


def _require_writable(place: Path) -> None:
    """Say before the work that its result could not be written."""
    there = next(folder for folder in place.resolve().parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise OutputError(f"cannot write the bundle {place}: {there} cannot be written to")


def _name_of(place: Path, otherwise: str) -> str:
    """Return a bundle's name after its folder, where that can be one."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return str(TypeAdapter(Name).validate_python(place.resolve().name))
    except ValidationError:
        return otherwise


def _is_same(first: Path, second: Path) -> bool:
    return os.path.realpath(first) == os.path.realpath(second)
