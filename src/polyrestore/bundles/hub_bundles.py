"""Bundles on the Hugging Face hub: a name with one slash that is no folder here."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from polyrestore.bundles.manifest_file import MANIFEST_FILE
from polyrestore.errors import HubError, needs_extra
from polyrestore.storage.hub import RepositoryKind, Snapshot, fetch_repository, is_commit, split_revision

_TEXT_BYTES = 4_000_000
_WEIGHTS_BYTES = 4_000_000_000

BUNDLE_REPOSITORY = RepositoryKind(
    "bundle",
    {
        MANIFEST_FILE: _TEXT_BYTES,
        "README.md": _TEXT_BYTES,
        "LICENSE": _TEXT_BYTES,
        "backbone.safetensors": _WEIGHTS_BYTES,
        "recogniser.safetensors": _WEIGHTS_BYTES,
        "prototypes.safetensors": _WEIGHTS_BYTES,
        "adapters/*/adapter_config.json": _TEXT_BYTES,
        "adapters/*/adapter_model.safetensors": _WEIGHTS_BYTES,
        "adapters/*/prototype.safetensors": _TEXT_BYTES,
        "adapters/*/README.md": _TEXT_BYTES,
    },
    required=(MANIFEST_FILE,),
)
"""What is taken from the repository of a bundle."""


def is_on_hub(name_or_folder: str | Path) -> bool:
    """Say whether a bundle is named by its repository, ``owner/bundle`` or ``owner/bundle@revision``.

    What is here under that path comes first, and a ``Path`` always is one.
    """
    if isinstance(name_or_folder, Path) or split_revision(name_or_folder) is None:
        return False
    return not Path(name_or_folder).exists()


def fetch_bundle(reference: str) -> Path:
    """Return the folder of a bundle on the hub in the cache, downloaded where the cache lacks it.

    Without a revision the hub is asked the first time only, and the commit of then is used from then on. A
    branch or tag is asked for once in a process, so that all that it restores is restored alike.

    Args:
        reference: ``owner/bundle`` or ``owner/bundle@revision``.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        HubError: the hub does not give it, and the cache has nothing.
    """
    return _snapshot(reference).folder


def pin_bundle(name_or_folder: str) -> str:
    """Return the name of a bundle such that it will always be the same one on the hub; others as they are.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        HubError: the hub does not give it, and the cache has nothing.
    """
    if not is_on_hub(name_or_folder):
        return name_or_folder
    return f"{name_or_folder.partition('@')[0]}@{_snapshot(name_or_folder).commit}"


def _snapshot(reference: str) -> Snapshot:
    name, revision = split_revision(reference) or (reference, None)
    with needs_extra(f"there is no folder {reference}, and asking the Hugging Face hub for it", "hub"):
        try:
            return _asked(name, revision) if revision and not is_commit(revision) else _known(name, revision)
        except HubError as error:
            raise type(error)(f"there is no folder {reference} here, and {error.reason}") from error


@lru_cache(maxsize=64)
def _asked(name: str, revision: str) -> Snapshot:
    return fetch_repository(name, BUNDLE_REPOSITORY, revision)


def _known(name: str, revision: str | None) -> Snapshot:
    return fetch_repository(name, BUNDLE_REPOSITORY, revision, newest=False)
