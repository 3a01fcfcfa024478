"""Adapters on the Hugging Face hub: one repository for each, laid out as its folder is."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from polyrestore.adapters import Adapter, load_adapter, save_adapter
from polyrestore.adapters.card import adapter_card
from polyrestore.adapters.config import check_adapter_name
from polyrestore.adapters.storage import ADAPTER_CARD_FILE, CONFIG_FILE, PROTOTYPE_FILE, WEIGHTS_FILE
from polyrestore.bundles.bundle import Bundle
from polyrestore.bundles.stating import base_description, stated_adapters
from polyrestore.errors import AdapterError, HubNotFoundError, needs_extra, no_adapter
from polyrestore.files import write_text
from polyrestore.storage.hub import RepositoryKind, fetch_repository, split_revision
from polyrestore.storage.hub_upload import Uploaded, upload_repository

_TEXT_BYTES = 1_000_000
_WEIGHTS_BYTES = 1_000_000_000

ADAPTER_REPOSITORY = RepositoryKind(
    "adapter",
    {
        CONFIG_FILE: _TEXT_BYTES,
        WEIGHTS_FILE: _WEIGHTS_BYTES,
        PROTOTYPE_FILE: _TEXT_BYTES,
        ADAPTER_CARD_FILE: _TEXT_BYTES,
    },
    required=(WEIGHTS_FILE, CONFIG_FILE),
)
"""What is taken from the repository of an adapter."""

_SOURCE = "source"


def pull_adapter(repository: str, revision: str | None = None, name: str | None = None) -> Adapter:
    """Return the adapter in a repository on the hub; its record says from which commit it is.

    The newest commit is taken; where the hub does not answer, the one that the cache has.

    Args:
        repository: ``owner/model``.
        revision: branch, tag or commit; the main branch where None.
        name: of the adapter; the second part of the repository's name where None.

    Raises:
        HubError: the hub does not give it, or gives something else.
        AdapterError: the adapter cannot be used, or its name cannot be one.
        MissingExtraError: huggingface_hub is not installed.
    """
    if split_revision(f"{repository}@{revision}" if revision else repository) != (repository, revision):
        raise HubNotFoundError(
            f"{repository!r}{f' at {revision!r}' if revision else ''} names no repository; give owner/name",
        )
    own = name or repository.partition("/")[2]
    try:
        check_adapter_name(own)
    except AdapterError as error:
        raise AdapterError(f"{error}; give another one with --name") from error
    with needs_extra("taking an adapter from the Hugging Face hub", "hub"):
        snapshot = fetch_repository(repository, ADAPTER_REPOSITORY, revision)
    adapter = load_adapter(snapshot.folder, own)
    return replace(adapter, record={**adapter.record, _SOURCE: f"{repository}@{snapshot.commit}"})


def push_adapter(bundle: Bundle, name: str, repository: str, *, private: bool = False) -> Uploaded:
    """Publish an adapter of a bundle on the hub, with its prototype and a card.

    Args:
        bundle: what has the adapter.
        name: of the adapter.
        repository: ``owner/model``, made where there is none. One that is there must hold an adapter; the new
            one takes its place in one commit.
        private: whether only those whom the owner lets in can see it.

    Raises:
        AdapterError: the bundle has no such adapter, or its values do not fit into float16.
        HubError: the hub does not take it; nothing of the repository is changed then.
        MissingExtraError: huggingface_hub is not installed.
    """
    adapters = stated_adapters(bundle)
    if name not in adapters:
        raise no_adapter(bundle.name, name, adapters)
    if split_revision(repository) != (repository, None):
        raise HubNotFoundError(f"{repository!r} names no repository; give owner/name")
    base = base_description(bundle)
    with tempfile.TemporaryDirectory() as place, needs_extra("sharing on the Hugging Face hub", "hub"):
        folder = Path(place)
        save_adapter(folder, adapters[name], base, torch.float16)
        write_text(folder / ADAPTER_CARD_FILE, adapter_card(adapters[name], base, repository))
        return upload_repository(
            repository, folder, ADAPTER_REPOSITORY, f"Share the adapter {name}", private=private
        )
