"""Where a batch puts explanations: one sub-folder per result, whose files are as safe as the results are."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath

from polyrestore.bulk.report import FileRecord, Report

EXPLAINED_FOLDER = "explained"


class ExplainedFiles:
    """The folder ``explained`` of one output folder, with a sub-folder named after each result.

    Args:
        folder: the output folder.
        report: knows which files are a batch's own.
        require_target: raises when writing a file would leave the folder or cost somebody a file.
    """

    def __init__(self, folder: Path, report: Report, require_target: Callable[[PurePath], None]) -> None:
        self.folder = folder
        self._report = report
        self._require_target = require_target

    def write(self, output: PurePath, writers: Mapping[str, Callable[[Path], object]]) -> tuple[str, ...]:
        """Write the explanation of a result, and remove what is left of an earlier one.

        Args:
            output: the result, relative to the output folder.
            writers: what writes each file, by file name; empty to remove only.

        Returns:
            the files, relative to the output folder.

        Raises:
            OutputError: a file is somebody else's, in which case none is written, or one cannot be written.
        """
        place = PurePath(EXPLAINED_FOLDER) / output
        for name in writers:
            self._require_target(place / name)
        for name, write in writers.items():
            self._report.claim((place / name).as_posix())
            write(self.folder / place / name)
        written = tuple((place / name).as_posix() for name in writers)
        self._remove(place, set(self.own(output)) - set(written))
        return written

    def own(self, output: PurePath) -> tuple[str, ...]:
        """Return the files there are of a result's explanation, without those that no batch wrote."""
        place = PurePath(EXPLAINED_FOLDER) / output
        path = self.folder / place
        if os.path.realpath(path) != os.path.join(os.path.realpath(self.folder), place):
            return ()
        try:
            names = sorted(os.listdir(path))
        except OSError:
            return ()
        return tuple(name for each in names if (name := (place / each).as_posix()) in self._report.owned)

    def complete(self, record: FileRecord) -> bool:
        """Say whether a record's explanation was written and is still there."""
        paths = [self.folder / name for name in record.explanation]
        return bool(paths) and all(path.is_file() and not path.is_symlink() for path in paths)

    def _remove(self, place: PurePath, names: set[str]) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
        if names:
            # Not empty where new files or somebody else's are in it.
            with contextlib.suppress(OSError):
                (self.folder / place).rmdir()
