"""The folder ``explained`` of an output folder, with a sub-folder named after each result."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePath

from polyrestore.bulk.output_folder import Results
from polyrestore.bulk.record import FileRecord, explanation_place
from polyrestore.bulk.report import Report


class ExplainedFiles:
    """What runs wrote to explain results, told apart from what others have put beside it.

    Args:
        results: the output folder.
        report: knows which files are the runs' own.
    """

    def __init__(self, results: Results, report: Report) -> None:
        self._results = results
        self._report = report

    def own(self, output: PurePath) -> tuple[str, ...]:
        """Return the files there are of a result's explanation, without those that no run wrote."""
        place = explanation_place(output)
        names = self._results.names_in(place)
        known = self._report.explanation_of(output.as_posix())
        return tuple(name for each in names if (name := (place / each).as_posix()) in known)

    def complete(self, record: FileRecord) -> bool:
        """Say whether a record's explanation was written and is still there."""
        return bool(record.explanation) and all(map(self._results.holds, record.explanation))

    def remove(self, output: PurePath, keep: Collection[str]) -> None:
        """Remove what is left of a result's earlier explanation.

        Args:
            output: the result, relative to the output folder.
            keep: relative names of the files that stay.
        """
        names = set(self.own(output)) - set(keep)
        for name in names:
            self._results.remove(name)
        if names:
            # Not empty where new files or somebody else's are in it.
            self._results.remove_folder(explanation_place(output))
