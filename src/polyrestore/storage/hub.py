"""The Hugging Face hub: which texts may be names there, and how the files of a model come from it."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from polyrestore.errors import (
    HubChangedError,
    HubDamagedError,
    HubError,
    HubForeignError,
    HubOfflineError,
    HubTooLargeError,
    PolyrestoreError,
)
from polyrestore.files import sha256_of
from polyrestore.storage.hub_faults import UNANSWERED, hub_faults

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

ANSWER_TIMEOUT_S = 10.0
"""How long the hub may take to say what a repository holds."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NEWEST = "main"
_CONNECTIONS = 8


@dataclass(frozen=True)
class RepositoryKind:
    """What a repository of one kind holds; nothing else is ever taken from it.

    Attributes:
        noun: what it is, for people: "adapter".
        limits_bytes: how large a file may be, by the pattern of its name.
        required: the files without which it is no such repository. The last one of them is downloaded after
            all other files, so that where the cache has it, it has all.
    """

    noun: str
    limits_bytes: Mapping[str, int]
    required: tuple[str, ...]

    def limit_bytes(self, file: str) -> int | None:
        """Return how large a file may be; None for one that does not belong to such repositories."""
        fitting = (size for pattern, size in self.limits_bytes.items() if fnmatchcase(file, pattern))
        return next(fitting, None)


@dataclass(frozen=True)
class Snapshot:
    """Files of a repository at one commit, in the cache.

    Attributes:
        folder: with the files; it is only to be read.
        commit: 40 hexadecimal digits.
    """

    folder: Path
    commit: str


def is_hub_name(text: str) -> bool:
    """Say whether a text has the form of a model's name on the hub, ``owner/model``."""
    return _NAME.fullmatch(text) is not None


def split_revision(text: str) -> tuple[str, str | None] | None:
    """Return the parts of ``owner/model@revision``, the revision None where it is left out.

    Returns:
        None where the text has another form.
    """
    name, mark, revision = text.partition("@")
    if not is_hub_name(name) or (mark and (not _REVISION.fullmatch(revision) or ".." in revision)):
        return None
    return name, revision or None


def is_commit(revision: str | None) -> bool:
    """Say whether a revision is a whole commit hash, which never means anything else."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


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


def fetch_repository(
    name: str, kind: RepositoryKind, revision: str | None = None, *, newest: bool = True
) -> Snapshot:
    """Return the files of a repository at one commit, downloaded to the cache where it lacks them.

    The hub is asked once which commit the revision is and how large the files are. Each file is compared with
    what was announced, and one that differs does not stay in the cache. Which commit a branch or tag was is
    kept there too.

    Args:
        name: ``owner/model``.
        kind: what is expected there.
        revision: branch, tag or commit; the main branch where None.
        newest: whether the hub is asked where the cache knows the revision; where the hub does not answer,
            what the cache has is taken all the same. A commit is never asked for twice.

    Raises:
        ImportError: huggingface_hub is not installed.
        HubError: the hub does not give it, it is of another kind, or a file is too large or damaged.
    """
    cached = _cached(name, kind, revision)
    if cached is not None and (not newest or is_commit(revision)):
        return cached
    try:
        with hub_faults(name):
            return _download(name, kind, revision or _NEWEST)
    except UNANSWERED:
        if cached is None:
            raise
        return cached


def _cached(name: str, kind: RepositoryKind, revision: str | None) -> Snapshot | None:
    with contextlib.suppress(HubError), hub_faults(name):
        folder = fetch_snapshot(
            name, [*kind.limits_bytes], HubOfflineError, revision=revision, cached_only=True
        )
        if all((folder / file).is_file() for file in kind.required):
            return Snapshot(folder, folder.name)
    return None


def _download(name: str, kind: RepositoryKind, revision: str) -> Snapshot:
    from huggingface_hub import HfApi, hf_hub_download

    info = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=ANSWER_TIMEOUT_S)
    commit = info.sha or ""
    files = _chosen(name, kind, info.siblings or ())
    last = kind.required[-1]

    def get(file: str, at: str = commit) -> Path:
        return Path(hf_hub_download(name, file, revision=at, etag_timeout=ANSWER_TIMEOUT_S))

    pool = ThreadPoolExecutor(_CONNECTIONS)
    try:
        others = [file for file in files if file != last]
        for file, path in zip(others, pool.map(get, others), strict=True):
            _check(name, path, files[file])
    finally:
        pool.shutdown(cancel_futures=True)
    # By the name of the revision, so that the cache learns which commit that is.
    path = get(last, revision)
    folder = path.parents[last.count("/")]
    if folder.name != commit:
        raise HubChangedError(f"{name} was changed on the hub while it was downloaded; try again")
    _check(name, path, files[last])
    return Snapshot(folder, commit)


def _chosen(name: str, kind: RepositoryKind, files: Sequence[RepoSibling]) -> dict[str, RepoSibling]:
    """Return the files that belong to a kind of repository by name, in the order of their downloads."""
    limits = {each.rfilename: kind.limit_bytes(each.rfilename) for each in files}
    chosen = {each.rfilename: each for each in files if limits[each.rfilename] is not None}
    for file in kind.required:
        if file not in chosen:
            raise HubForeignError(f"{name} on the hub is no {kind.noun}: it has no {file}")
    for file, entry in chosen.items():
        limit = limits[file] or 0
        if entry.size is None or entry.size > limit:
            size = "an unknown size" if entry.size is None else f"{entry.size:,} bytes"
            raise HubTooLargeError(
                f"{file} of {name} has {size}, and such a file may have {limit:,}; nothing was downloaded",
            )
    chosen[kind.required[-1]] = chosen.pop(kind.required[-1])
    return chosen


def _check(name: str, path: Path, announced: RepoSibling) -> None:
    """Compare a file with what the hub announced; one that differs is removed from the cache."""
    expected = announced.lfs.sha256 if announced.lfs is not None else announced.blob_id
    found = sha256_of(path) if announced.lfs is not None else _blob_sha1(path)
    if found == expected:
        return
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    raise HubDamagedError(f"{announced.rfilename} of {name} arrived damaged and was thrown away; try again")


def _blob_sha1(path: Path) -> str:
    """Return the name that Git gives to a file's content."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    digest.update(path.read_bytes())
    return digest.hexdigest()
