"""Let the adapters in a bundle's folder state anew what they belong to: backbone, prototype, recogniser.

For a folder whose backbone or recogniser was replaced by hand, and whose adapters are known to be right
beside it. No weight changes. A bundle that is saved states all of this by itself.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from polyrestore.adapters import Prototype, load_adapter, save_adapter
from polyrestore.bundles import load_bundle, model_card
from polyrestore.bundles.manifest import (
    ADAPTERS_FOLDER,
    BACKBONE_FILE,
    CARD_FILE,
    DOCUMENTS,
    PROTOTYPES_FILE,
    RECOGNISER_FILE,
    Manifest,
    manifest_text,
)
from polyrestore.bundles.manifest_file import MANIFEST_FILE
from polyrestore.bundles.shared import find_shared
from polyrestore.errors import BundleError
from polyrestore.files import sha256_of, write_text
from polyrestore.storage.tensors import read_tensors, tensors_sha256, write_tensors


def tensors_of(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a bundle's file; none where there is no such file."""
    return read_tensors(path, BundleError, "copy the bundle again").tensors if path.exists() else {}


def fingerprint_of(folder: Path, manifest: Manifest) -> str:
    """Return the fingerprint of a bundle's recogniser, empty where it has none."""
    entry = manifest.recogniser
    if entry is None:
        return ""
    if entry.source is not None:
        return entry.source.sha256
    path = folder / RECOGNISER_FILE if entry.shared is None else find_shared(folder, entry.shared)
    return tensors_sha256(tensors_of(path), entry.kind)


def state_adapters(folder: Path) -> None:
    """Write what the adapters in a bundle's folder belong to, and the checksums of what has changed with it.

    Raises:
        BundleError: the folder does not hold a bundle whose parts fit each other.
    """
    manifest = Manifest.model_validate(json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8")))
    reference = manifest.backbone.reference
    weights = tensors_of(folder / BACKBONE_FILE)
    base = tensors_sha256(weights) if reference is None else reference.sha256
    description = f"polyrestore/{manifest.backbone.name}" if reference is None else reference.model
    recogniser = fingerprint_of(folder, manifest)
    settings = dict(manifest.recognition_settings)
    given = settings.get("minimum_shares")
    shares = dict(given) if isinstance(given, dict) else {}
    prototypes = tensors_of(folder / PROTOTYPES_FILE)
    dtype = next(iter(weights.values())).dtype
    for name in manifest.adapters:
        place = folder / ADAPTERS_FOLDER / name
        adapter = load_adapter(place)
        embedding = prototypes.pop(name, None if adapter.prototype is None else adapter.prototype.embedding)
        own = None if adapter.prototype is None else adapter.prototype.least_share
        prototype = None
        if embedding is not None:
            share = shares.pop(name, own)
            prototype = Prototype(embedding, recogniser, None if share is None else float(str(share)))
        save_adapter(place, replace(adapter, base_sha256=base, prototype=prototype), description, dtype)
    if given is not None:
        settings["minimum_shares"] = shares
    (folder / PROTOTYPES_FILE).unlink(missing_ok=True)
    if prototypes:
        write_tensors(folder / PROTOTYPES_FILE, prototypes, torch.float32, BundleError)
    files = {
        path.relative_to(folder).as_posix(): {"sha256": sha256_of(path), "size_bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (*DOCUMENTS, MANIFEST_FILE)
    }
    content = {**manifest.model_dump(mode="json"), "recognition_settings": settings, "files": files}
    write_text(folder / MANIFEST_FILE, manifest_text(Manifest.model_validate(content)))
    write_text(folder / CARD_FILE, model_card(load_bundle(folder), dtype))


def main() -> None:
    """Read the arguments and state the adapters of each folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of a bundle")
    for folder in parser.parse_args().folders:
        state_adapters(folder)
        print(f"{folder}: done")


if __name__ == "__main__":
    main()
