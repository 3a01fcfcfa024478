"""Recognisers that come with the package once, for all the shipped bundles that refer to them."""

from __future__ import annotations

from pathlib import Path

import torch

from polyrestore.bundles.manifest import SharedEntry
from polyrestore.bundles.shipped import shipped_folder
from polyrestore.errors import BundleError
from polyrestore.files import sha256_of
from polyrestore.recognition import BaseRecogniser
from polyrestore.storage.tensors import read_tensors, write_tensors

SHARED_FOLDER = "recognisers"


def shared_path(name: str) -> Path:
    """Return where the weights of a shared recogniser lie in the installed package."""
    return shipped_folder() / SHARED_FOLDER / f"{name}.safetensors"


def find_shared(folder: Path, entry: SharedEntry) -> Path:
    """Return the weights that a bundle in a folder refers to, after comparing their size and fingerprint.

    Raises:
        BundleError: they do not come with this version of the package, or are other ones.
    """
    path = shared_path(entry.name)
    if not path.is_file():
        raise BundleError(
            f"{folder} shares the recogniser {entry.name!r}, which this polyrestore does not have"
        )
    if path.stat().st_size != entry.size_bytes or sha256_of(path) != entry.sha256:
        raise BundleError(
            f"{path} is not the recogniser that {folder} was made with; install polyrestore again"
        )
    return path


def save_shared(name: str, recogniser: BaseRecogniser) -> SharedEntry:
    """Write a recogniser's weights in float16 for all shipped bundles, and return the reference to them.

    Weights that are there already under the name must be the same: bundles refer to them. Others need a name
    of their own.

    Raises:
        BundleError: a weight is not finite in float16, or others have the name.
        OutputError: the file cannot be written.
    """
    path = shared_path(name)
    if path.exists():
        _require_same(path, recogniser)
    else:
        write_tensors(path, recogniser.state_dict(), torch.float16, BundleError)
    return SharedEntry(name=name, sha256=sha256_of(path), size_bytes=path.stat().st_size)


def _require_same(path: Path, recogniser: BaseRecogniser) -> None:
    there = read_tensors(path, BundleError, "install polyrestore again").tensors
    given = recogniser.state_dict()
    same = there.keys() == given.keys()
    if not same or not all(torch.equal(there[key].half(), given[key].cpu().half()) for key in given):
        raise BundleError(f"{path} holds another recogniser, which bundles refer to; choose another name")
