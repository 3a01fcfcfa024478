"""How a folder becomes a repository on the Hugging Face hub: all of it in one commit, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from polyrestore.errors import HubForeignError, HubRefusedError
from polyrestore.storage.hub import ANSWER_TIMEOUT_S, RepositoryKind
from polyrestore.storage.hub_faults import hub_faults

REQUEST_TIMEOUT_S = 60.0
"""How long the hub may be silent in the middle of an upload."""

# What the hub itself puts into a new repository.
_OF_THE_HUB = (".gitattributes",)


@dataclass(frozen=True)
class Uploaded:
    """Where a folder is now.

    Attributes:
        commit: 40 hexadecimal digits.
        url: of the commit, for people.
        private: whether others cannot see it.
    """

    commit: str
    url: str
    private: bool


def upload_repository(
    name: str, folder: Path, kind: RepositoryKind, message: str, *, private: bool = False
) -> Uploaded:
    """Make a folder the content of a repository, which is made where there is none.

    A repository that is there must be of the same kind: its files are replaced, and those that the folder
    lacks are removed; its history keeps them. The token is the one that the hub's client finds.

    Args:
        name: ``owner/model``.
        folder: its files, without those in folders below, become those of the repository.
        kind: what it is.
        message: of the commit, one line.
        private: whether a new repository is private; one that is there must be, then.

    Raises:
        ImportError: huggingface_hub is not installed.
        HubError: the hub does not take it, or the repository holds something else; it is as it was then.
    """
    with hub_faults(name), _patience():
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        api = HfApi()
        api.create_repo(name, private=private or None, exist_ok=True)
        info = api.model_info(name, timeout=ANSWER_TIMEOUT_S)
        if private and not info.private:
            raise HubRefusedError(f"{name} is on the hub already and is not private; choose another")
        there = [each.rfilename for each in info.siblings or () if each.rfilename not in _OF_THE_HUB]
        for file in there:
            if kind.limit_bytes(file) is None:
                raise HubForeignError(
                    f"{name} on the hub holds {file}, which belongs to no {kind.noun}; choose another one",
                )
        own = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
        added = [CommitOperationAdd(file, str(path)) for file, path in own.items()]
        removed = [CommitOperationDelete(file) for file in there if file not in own]
        # Only on what was looked at: nobody else's commit is built over.
        done = api.create_commit(
            name, [*added, *removed], commit_message=message, parent_commit=info.sha or None
        )
        return Uploaded(done.oid, str(done.commit_url), bool(info.private))


@contextmanager
def _patience() -> Iterator[None]:
    """Let no request wait for ever; most of the client's own have no limit."""
    from huggingface_hub import get_session

    session = get_session()
    before = session.timeout
    session.timeout = REQUEST_TIMEOUT_S
    try:
        yield
    finally:
        session.timeout = before
