"""Where the results of a run are: a folder of this machine, as runs ask for it and change it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Protocol

from polyrestore.bulk.files import FileJob, inputs_within, require_inside
from polyrestore.bulk.one_file import SettledJob
from polyrestore.bulk.one_video import forget_video
from polyrestore.bulk.record import FileRecord
from polyrestore.errors import ImageError, OutputError
from polyrestore.files import TEMPORARY_MARK, discard_staged, put_in_place, sha256_of
from polyrestore.imaging import read_image, read_start
from polyrestore.video.kinds import is_video
from polyrestore.video.reading import VideoReader

TEMPORARY_NAME = re.compile(re.escape(TEMPORARY_MARK) + r"[0-9a-f]{8}\b")


class Results(Protocol):
    """What a run asks of the place of its results; names are relative to it."""

    def shown(self, name: str | PurePath) -> str:
        """Return what messages call a file."""

    def has(self, name: str | PurePath) -> bool:
        """Say whether there is anything under a name."""

    def holds(self, name: str | PurePath) -> bool:
        """Say whether there is a file under a name, and no link."""

    def has_changed(self, record: FileRecord) -> bool:
        """Say whether a result that is there is known to be another than a run wrote."""

    def is_whole(self, name: str | PurePath) -> bool:
        """Say whether a file can be read to its end, a video at its beginning: it is not just damaged."""

    def require_inside(self, name: PurePath) -> None:
        """Refuse a name that leads elsewhere.

        Raises:
            OutputError: it does.
        """

    def is_input(self, name: PurePath) -> bool:
        """Say whether a file is one of the inputs of the run."""

    def names_in(self, folder: PurePath) -> Sequence[str]:
        """Return the names of what is in a folder, without it; none of a folder that is a link."""

    def remove(self, name: str) -> None:
        """Remove a file."""

    def remove_folder(self, folder: PurePath) -> None:
        """Remove a folder, if it is empty."""

    def remove_leftovers(self, owns: Callable[[str], bool]) -> None:
        """Remove what runs that were killed left behind.

        Args:
            owns: says whether a file is the result of a run.
        """

    def put(self, job: SettledJob, place: Path, token: str) -> None:
        """Let a file that a job left behind become what it is to be.

        Args:
            job: whose it is.
            place: as :meth:`~polyrestore.bulk.one_file.SettledJob.staged` says, and so is the token.
            token: see there.

        Raises:
            PolyrestoreError: it cannot.
        """

    def discard(self, job: SettledJob, place: Path, token: str) -> None:
        """Remove a file that a job left behind, if it is there; arguments as for :meth:`put`."""

    def state(self, name: PurePath) -> str | None:
        """Return what tells later whether a result has changed; None where its hash does."""

    def forget(self, job: SettledJob) -> None:
        """Remove what was kept on the way to a video that is in its place."""


class OutputFolder:
    """The results of a run in a folder of this machine; the methods are those of :class:`Results`.

    Args:
        path: of the folder.
        jobs: all files of the run.
    """

    def __init__(self, path: Path, jobs: Sequence[FileJob]) -> None:
        self.path = path
        self._inputs = inputs_within(path, jobs)

    def shown(self, name: str | PurePath) -> str:
        """Return the path."""
        return str(self.path / name)

    def has(self, name: str | PurePath) -> bool:
        """Say whether there is anything, a broken link included."""
        return os.path.lexists(self.path / name)

    def holds(self, name: str | PurePath) -> bool:
        """Say whether there is a regular file."""
        path = self.path / name
        return path.is_file() and not path.is_symlink()

    def has_changed(self, record: FileRecord) -> bool:
        """Compare the hash; what is not known has not changed."""
        assert record.output is not None
        return record.output_sha256 not in (None, sha256_of(self.path / record.output))

    def is_whole(self, name: str | PurePath) -> bool:
        """Read it."""
        path = self.path / name
        try:
            if is_video(path, read_start(path)):
                VideoReader(path).facts()
            else:
                read_image(path)
        except ImageError:
            return False
        return True

    def require_inside(self, name: PurePath) -> None:
        """Refuse what a link leads elsewhere.

        Raises:
            OutputError: it does.
        """
        require_inside(self.path, self.path / name)

    def is_input(self, name: PurePath) -> bool:
        """Compare real paths."""
        target = self.path / name
        return os.path.join(os.path.realpath(target.parent), target.name) in self._inputs

    def names_in(self, folder: PurePath) -> Sequence[str]:
        """List a folder that is none by a link."""
        path = self.path / folder
        if os.path.realpath(path) != os.path.join(os.path.realpath(self.path), folder):
            return ()
        try:
            return sorted(os.listdir(path))
        except OSError:
            return ()

    def remove(self, name: str) -> None:
        """Remove a file."""
        (self.path / name).unlink(missing_ok=True)

    def remove_folder(self, folder: PurePath) -> None:
        """Remove an empty folder."""
        with contextlib.suppress(OSError):
            (self.path / folder).rmdir()

    def remove_leftovers(self, owns: Callable[[str], bool]) -> None:
        """Look through all folders."""
        for parent, _, names in os.walk(self.path):
            for name in names:
                path = Path(parent, name)
                # An input may have been called like one, and its result is then.
                if TEMPORARY_NAME.match(name) and not owns(path.relative_to(self.path).as_posix()):
                    path.unlink(missing_ok=True)

    def put(self, job: SettledJob, place: Path, token: str) -> None:
        """Rename it.

        Raises:
            OutputError: that fails.
        """
        put_in_place(place, token)

    def discard(self, job: SettledJob, place: Path, token: str) -> None:
        """Remove it."""
        discard_staged(place, token)

    def state(self, name: PurePath) -> str | None:
        """Return None: the hash of a file that is here can be had."""
        return None

    def forget(self, job: SettledJob) -> None:
        """Remove the parts."""
        forget_video(self.path, job.output)


def require_free(results: Results, output: PurePath, *, ours: bool, overwrite: bool) -> None:
    """Refuse the place of a file that would lead elsewhere, or cost somebody a file.

    Args:
        results: where it would be.
        output: its name.
        ours: whether a run wrote what is there.
        overwrite: whether other files may be replaced too.

    Raises:
        OutputError: it would.
    """
    results.require_inside(output)
    if results.is_input(output):
        raise OutputError(f"{results.shown(output)} is an input and is not overwritten")
    if results.has(output) and not (ours or overwrite):
        raise OutputError(
            f"{results.shown(output)} is there already and no earlier run wrote it; "
            "move it, choose another output folder or allow overwriting"
        )
