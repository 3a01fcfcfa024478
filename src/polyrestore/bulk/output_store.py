"""The results of a run behind a URL."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

from polyrestore.bulk.files import FileJob
from polyrestore.bulk.one_file import SettledJob
from polyrestore.bulk.output_folder import TEMPORARY_NAME
from polyrestore.bulk.record import EXPLAINED_FOLDER, FileRecord
from polyrestore.errors import OutputError, StorageError
from polyrestore.files import TEMPORARY_MARK, staged_place
from polyrestore.storage.urls import Store


class OutputStore:
    """The results of a run behind a URL; the methods are those of :class:`~.output_folder.Results`.

    What is there is listed once, when a run begins: what others change meanwhile is noticed by the next run.

    Args:
        url: as :func:`~polyrestore.storage.urls.as_place` returns it; there may be nothing yet.
        jobs: all files of the run.

    Raises:
        StorageError: it cannot be listed, or nothing can be written there.
    """

    def __init__(self, url: str, jobs: Sequence[FileJob]) -> None:
        self._store = Store(url)
        # A bucket that is missing, or not one's own, should not be found out file by file.
        self._store.require_writable(f"{TEMPORARY_MARK}{secrets.token_hex(4)}")
        self._states = {each.name: each.state for each in self._store.files(recursive=True)}
        self._explaining: dict[str, set[str]] = {}
        for name in self._states:
            self._note_explanation(name)
        beginning = f"{url}/"
        self._inputs = {job.input for job in jobs if job.input.startswith(beginning)}

    def shown(self, name: str | PurePath) -> str:
        """Return the URL."""
        return self._store.url_of(_posix(name))

    def has(self, name: str | PurePath) -> bool:
        """Say whether it was listed, or put there since."""
        return _posix(name) in self._states

    def holds(self, name: str | PurePath) -> bool:
        """Say the same: links are not told from files."""
        return self.has(name)

    def has_changed(self, record: FileRecord) -> bool:
        """Compare the states; what is not known has not changed."""
        assert record.output is not None
        return record.output_state not in (None, self._states.get(record.output))

    def is_whole(self, name: str | PurePath) -> bool:
        """Return True: stores see to that, and nothing is fetched to find out."""
        return True

    def require_inside(self, name: PurePath) -> None:
        """Refuse a name that has ``..`` in it, which files in a store may have.

        Raises:
            OutputError: it has.
        """
        if ".." in name.parts or name.is_absolute():
            raise OutputError(f"{self.shown(name)} leads out of the output folder")

    def is_input(self, name: PurePath) -> bool:
        """Compare URLs."""
        return self.shown(name) in self._inputs

    def names_in(self, folder: PurePath) -> Sequence[str]:
        """Return what explains a result, as it was listed or put there since."""
        return sorted(self._explaining.get(folder.as_posix(), ()))

    def _note_explanation(self, name: str) -> None:
        if name.startswith(f"{EXPLAINED_FOLDER}/"):
            folder, _, last = name.rpartition("/")
            self._explaining.setdefault(folder, set()).add(last)

    def remove(self, name: str) -> None:
        """Remove a file.

        Raises:
            StorageError: that fails.
        """
        self._store.remove(name)
        self._states.pop(name, None)
        folder, _, last = name.rpartition("/")
        self._explaining.get(folder, set()).discard(last)

    def remove_folder(self, folder: PurePath) -> None:
        """Leave it: in most stores, there are only names."""

    def remove_leftovers(self, owns: Callable[[str], bool]) -> None:
        """Remove what was brought there and never got its name.

        Raises:
            StorageError: that fails.
        """
        for name in [*self._states]:
            if TEMPORARY_NAME.match(PurePath(name).name) and not owns(name):
                self.remove(name)

    def put(self, job: SettledJob, place: Path, token: str) -> None:
        """Move it to its name.

        Raises:
            StorageError: that fails.
        """
        name = place.relative_to(job.folder).as_posix()
        self._store.move(_staged_name(job, place, token), name)
        found = self._store.look(name)
        self._states[name] = None if found is None else found.state
        self._note_explanation(name)

    def discard(self, job: SettledJob, place: Path, token: str) -> None:
        """Remove it, now or at the next run."""
        with contextlib.suppress(StorageError):
            self._store.remove(_staged_name(job, place, token))

    def state(self, name: PurePath) -> str | None:
        """Return the state that a result has in the store."""
        return self._states.get(_posix(name))

    def forget(self, job: SettledJob) -> None:
        """Do nothing: what is kept on the way lies in the private folder of the file."""


def bring(job: SettledJob, record: FileRecord) -> None:
    """Copy what a job left in its private folder to the store, each file under a temporary name.

    Args:
        job: with a store.
        record: of it.

    Raises:
        StorageError: one of them cannot be written; none is left then.
    """
    assert job.store is not None
    store = Store(job.store)
    staged = job.staged(record)
    try:
        for place, token in staged:
            store.put(staged_place(place, token), _staged_name(job, place, token))
    except BaseException:
        for place, token in staged:
            with contextlib.suppress(StorageError):
                store.remove(_staged_name(job, place, token))
        raise


def _staged_name(job: SettledJob, place: Path, token: str) -> str:
    return staged_place(place, token).relative_to(job.folder).as_posix()


def _posix(name: str | PurePath) -> str:
    return name if isinstance(name, str) else name.as_posix()
