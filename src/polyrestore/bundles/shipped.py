"""The bundles that come with the package, and how a name or a folder becomes one."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from polyrestore.bundles.hub_bundles import fetch_bundle, is_on_hub
from polyrestore.bundles.manifest_file import MANIFEST_FILE, read_manifest_file
from polyrestore.errors import (
    UnknownBundleError,
    unknown_name,
)

# What a bundle was called before: commands that name it so go on working.
FORMER_NAMES = {"generative": "default"}


def shipped_folder() -> Path:
    """Return the folder inside the installed package that holds the shipped bundles."""
    return Path(str(resources.files("polyrestore.bundles").joinpath("shipped")))


def list_bundles() -> tuple[str, ...]:
    """Return the names of the shipped bundles, sorted."""
    try:
        return tuple(sorted(path.parent.name for path in shipped_folder().glob(f"*/{MANIFEST_FILE}")))
    except OSError:
        return ()


def find_bundle(name_or_folder: str | Path) -> Path:
    """Return the folder of a bundle.

    A shipped bundle's name, or one that it had before, comes before a folder of the same name; ``./name``
    always is a folder. A text with one slash in it that is nothing here, ``owner/bundle`` or
    ``owner/bundle@revision``, is a repository on the Hugging Face hub.

    Raises:
        UnknownNameError: neither a shipped bundle nor an existing folder is called so.
        HubError: the hub does not give the repository, and the cache has nothing of it.
        MissingExtraError: huggingface_hub is needed and not installed.
    """
    names = list_bundles()
    if isinstance(name_or_folder, str):
        name = name_or_folder if name_or_folder in names else FORMER_NAMES.get(name_or_folder, "")
        if name in names:
            return shipped_folder() / name
    if is_on_hub(name_or_folder):
        return fetch_bundle(str(name_or_folder))
    folder = Path(name_or_folder)
    looks_like_path = any(mark and mark in str(name_or_folder) for mark in (os.sep, os.altsep))
    if isinstance(name_or_folder, Path) or looks_like_path or folder.is_dir():
        return folder
    if not names:
        raise UnknownBundleError(
            f"unknown bundle {name_or_folder!r}; none is shipped, give a bundle's folder"
        )
    raise unknown_name("bundle", name_or_folder, names, UnknownBundleError)


def listed_adapters(name_or_folder: str | Path) -> tuple[str, ...]:
    """Return the names of a bundle's adapters as its ``model.json`` lists them; nothing else is opened.

    Raises:
        UnknownNameError: neither a shipped bundle nor an existing folder is called so.
        BundleError: ``model.json`` is missing, damaged or of another format.
    """
    names = read_manifest_file(find_bundle(name_or_folder)).get("adapters")
    # What else may be wrong with the file is found, and said better, when it is validated.
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
