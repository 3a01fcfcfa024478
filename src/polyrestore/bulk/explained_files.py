"""The folder ``explained`` of an output folder, with a sub-folder named after each result."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path, PurePath

from polyrestore.bulk.record import FileRecord, explanation_place
from polyrestore.bulk.report import Report


class ExplainedFiles:
    """What runs wrote to explain results, told apart from what others have put beside it.

    Args:
        folder: the output folder.
        report: knows which files are the runs' own.
    """

    def __init__(self, folder: Path, report: Report) -> None:
        self.folder = folder
        self._report = report

    def own(self, output: PurePath) -> tuple[str, ...]:
        """Return the files there are of a result's explanation, without those that no run wrote."""
        place = explanation_place(output)
        path = self.folder / place
        if os.path.realpath(path) != os.path.join(os.path.realpath(self.folder), place):
            return ()
        try:
            names = sorted(os.listdir(path))
        except OSError:
            return ()
        known = self._report.explanation_of(output.as_posix())
        return tuple(name for each in names if (name := (place / each).as_posix()) in known)

    def complete(self, record: FileRecord) -> bool:
        """Say whether a record's explanation was written and is still there."""
        paths = [self.folder / name for name in record.explanation]
        return bool(paths) and all(path.is_file() and not path.is_symlink() for path in paths)

    def remove(self, output: PurePath, keep: Collection[str]) -> None:
        """Remove what is left of a result's earlier explanation.

        Args:
            output: the result, relative to the output folder.
            keep: relative names of the files that stay.
        """
        names = set(self.own(output)) - set(keep)
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
        if names:
            # Not empty where new files or somebody else's are in it.
            with contextlib.suppress(OSError):
                (self.folder / explanation_place(output)).rmdir()
