"""Writing a bundle: beside its place first, read back, and only then put there."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from polyrestore.adapters import bare_state_dict, save_adapter
from polyrestore.adapters.storage import ADAPTER_CARD_FILE, CONFIG_FILE, PROTOTYPE_FILE, WEIGHTS_FILE
from polyrestore.backbones.capabilities import borrowed_keys, reference_of
from polyrestore.bundles.bundle import Bundle
from polyrestore.bundles.card import licence_text, model_card
from polyrestore.bundles.loading import load_bundle
from polyrestore.bundles.manifest import (
    ADAPTERS_FOLDER,
    BACKBONE_FILE,
    CARD_FILE,
    LICENCE_FILE,
    PROTOTYPES_FILE,
    RECOGNISER_FILE,
    Manifest,
    SharedEntry,
    manifest_text,
)
from polyrestore.bundles.manifest_file import FORMAT_VERSION, MANIFEST_FILE
from polyrestore.bundles.stating import base_description, settings_beside_adapters, stated_adapters
from polyrestore.errors import AdapterError, BundleError, OutputError
from polyrestore.files import TEMPORARY_MARK, sha256_of, write_text
from polyrestore.storage.tensors import write_tensors

_TOP_FILES = {MANIFEST_FILE, BACKBONE_FILE, RECOGNISER_FILE, PROTOTYPES_FILE, CARD_FILE, LICENCE_FILE}
_ADAPTER_FILES = {CONFIG_FILE, WEIGHTS_FILE, PROTOTYPE_FILE, ADAPTER_CARD_FILE}


def save_bundle(
    folder: str | Path,
    bundle: Bundle,
    dtype: torch.dtype = torch.float16,
    *,
    shared: SharedEntry | None = None,
) -> Path:
    """Write a bundle folder.

    It is written to a temporary folder beside ``folder`` and loaded from there with every check; a bundle
    that was at ``folder`` stays until then, and after any error.

    Args:
        folder: where to; made when missing, replaced when it holds a bundle and nothing else.
        bundle: what to write. Adapters that are attached to its backbone are left out of the backbone's file.
            Each adapter's folder states its base, which is the bundle's backbone where the adapter names
            none, and takes the prototype and the least share that the bundle has for it.
        dtype: of the weights on disk. Prototypes stay float32: they are small, and the recognition's
            thresholds were set with them.
        shared: which recogniser of the package has the weights of the bundle's, for shipped bundles; where
            None is given, the bundle holds them itself.

    Returns:
        the folder.

    Raises:
        BundleError: something in the bundle cannot be saved faithfully, an adapter states another base, or
            what was written could not be read back.
        OutputError: the folder cannot be written, or holds other files that would be lost.
    """
    target = Path(folder).resolve()
    _check_replaceable(target)
    temporary = target.with_name(f"{TEMPORARY_MARK}{secrets.token_hex(4)}-{target.name}")
    try:
        _write(temporary, bundle, dtype, shared)
        # Weights outside of the bundle may be gigabytes: those in memory stand for them.
        load_bundle(temporary, like=bundle.backbone)
        _put_in_place(temporary, target)
    except OSError as error:
        raise OutputError(f"cannot write the bundle {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _write(folder: Path, bundle: Bundle, dtype: torch.dtype, shared: SharedEntry | None) -> None:
    outside = borrowed_keys(bundle.backbone)
    for name, adapter in stated_adapters(bundle).items():
        if adapter.name != name:
            raise BundleError(f"the adapter listed as {name!r} calls itself {adapter.name!r}; rename one")
        try:
            save_adapter(folder / ADAPTERS_FOLDER / name, adapter, base_description(bundle), dtype)
        except AdapterError as error:
            raise BundleError(f"adapter {name!r} cannot be saved as {dtype}: {error}") from error
    own = {key: value for key, value in bare_state_dict(bundle.backbone).items() if key not in outside}
    write_tensors(folder / BACKBONE_FILE, own, dtype, BundleError)
    recogniser = bundle.recogniser
    if recogniser is not None and recogniser.reference() is None and shared is None:
        write_tensors(folder / RECOGNISER_FILE, recogniser.state_dict(), dtype, BundleError)
    others = {name: each for name, each in bundle.prototypes.items() if name not in bundle.adapters}
    if others:
        write_tensors(folder / PROTOTYPES_FILE, others, torch.float32, BundleError)
    manifest = _manifest_of(folder, bundle, shared)
    write_text(folder / MANIFEST_FILE, manifest_text(manifest))
    write_text(folder / CARD_FILE, model_card(bundle, dtype))
    write_text(folder / LICENCE_FILE, licence_text(bundle.info.licence))


def _manifest_of(folder: Path, bundle: Bundle, shared: SharedEntry | None) -> Manifest:
    files = {
        path.relative_to(folder).as_posix(): {"sha256": sha256_of(path), "size_bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ADAPTER_CARD_FILE
    }
    reference = reference_of(bundle.backbone)
    raw = {
        "format_version": FORMAT_VERSION,
        "name": bundle.name,
        "backbone": {
            "name": bundle.backbone.description.name,
            "options": bundle.backbone.options,
            "reference": None if reference is None else vars(reference),
        },
        "adapters": sorted(bundle.adapters),
        "recogniser": _recogniser_entry(bundle, shared),
        "prototypes": sorted(bundle.prototypes),
        "recognition_settings": settings_beside_adapters(bundle),
        "info": bundle.info.model_dump(mode="json"),
        "files": files,
    }
    try:
        # Through JSON and back: tuples become the lists that the next reader will see.
        return Manifest.model_validate(json.loads(json.dumps(raw, allow_nan=False)))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise BundleError(f"the bundle cannot be described: {where}: {problem['msg']}") from error
    except (TypeError, ValueError) as error:
        raise BundleError(f"options and settings must be plain, finite JSON values: {error}") from error


def _recogniser_entry(bundle: Bundle, shared: SharedEntry | None) -> dict[str, Any] | None:
    if bundle.recogniser is None:
        return None
    reference = bundle.recogniser.reference()
    return {
        "options": bundle.recogniser.options,
        "kind": bundle.recogniser.kind,
        "source": None if reference is None else asdict(reference),
        "shared": None if shared is None else shared.model_dump(),
    }


def _check_replaceable(target: Path) -> None:
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise OutputError(f"{target} exists and is not a folder; choose another place for the bundle")
    for path in sorted(target.rglob("*")):
        parts = path.relative_to(target).parts
        in_adapter = len(parts) == 3 and parts[0] == ADAPTERS_FOLDER and parts[2] in _ADAPTER_FILES
        if not path.is_dir() and not in_adapter and not (len(parts) == 1 and parts[0] in _TOP_FILES):
            raise OutputError(f"{path} is no file of a bundle and would be lost; choose another folder")


def _put_in_place(temporary: Path, target: Path) -> None:
    if not target.exists():
        os.rename(temporary, target)
        return
    # A folder cannot be renamed over another: for an instant neither is there, and the old one comes back
    # if the second step fails.
    previous = target.with_name(f"{TEMPORARY_MARK}{secrets.token_hex(4)}-{target.name}")
    os.rename(target, previous)
    try:
        os.rename(temporary, target)
    except OSError:
        os.rename(previous, target)
        raise
    shutil.rmtree(previous, ignore_errors=True)
