"""The Hugging Face hub: which texts may be names there, and how the files of a model come from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from polyrestore.errors import PolyrestoreError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_name(text: str) -> bool:
    """Say whether a text has the form of a model's name on the hub, ``owner/model``."""
    return _NAME.fullmatch(text) is not None


def fetch_snapshot(
    name: str,
    wanted: Sequence[str],
    refuse: Callable[[str], PolyrestoreError],
    *,
    unwanted: Sequence[str] = (),
    revision: str | None = None,
    cached_only: bool = False,
) -> Path:
    """Return the folder with some files of a model on the hub, downloaded where the cache lacks them.

    Args:
        name: ``owner/model``.
        wanted: patterns of the files to have.
        refuse: makes the error for a model that cannot be had out of the reason, one line.
        unwanted: patterns of files that are left out although they are wanted.
        revision: the commit to take; the newest where None.
        cached_only: take what the cache holds of it, and ask nobody.

    Raises:
        ImportError: huggingface_hub is not installed.
        PolyrestoreError: what ``refuse`` gives; there is no such model, or it cannot be reached.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(wanted),
            ignore_patterns=list(unwanted) or None,
            local_files_only=cached_only,
        )
    except Exception as error:
        # The client raises errors of several libraries; each means that there is no model now.
        raise refuse((str(error).strip() or type(error).__name__).splitlines()[0]) from error
    return Path(folder)
