"""Where the results of a run go, so that none takes the place of another input's, or of somebody's work."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from polyrestore.bulk.explained_files import ExplainedFiles
from polyrestore.bulk.files import FileJob, free_name
from polyrestore.bulk.output_folder import Results, require_free
from polyrestore.bulk.record import EXPLAINED_FOLDER, FileRecord
from polyrestore.bulk.report import Report
from polyrestore.errors import OutputError
from polyrestore.notes import Note
from polyrestore.storage.urls import Store, is_url

_NUMBER = re.compile(r"-\d+\Z")
_CHANGED = Note("changed", "the result was changed after it had been written, and is kept as it is")


class Places:
    """The output folder of a run, with what earlier runs left in it.

    A result belongs to its input, by path. The result of another input of the same name gets a number, and
    keeps it in later runs.

    Args:
        results: the output folder.
        jobs: all files of the run.
        report: what earlier runs wrote.
        identity: of this run.
        explain: whether results have to be explained.
        overwrite: whether files that no run wrote may be replaced, and results that were changed since.
    """

    def __init__(
        self,
        results: Results,
        jobs: Sequence[FileJob],
        report: Report,
        *,
        identity: Mapping[str, Any],
        explain: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.results = results
        self.explained = ExplainedFiles(results, report)
        self._report = report
        self._identity = identity
        self._explain = explain
        self._overwrite = overwrite
        self._taken = {job.output.casefold() for job in jobs}

    def settle(self, job: FileJob, wanted: PurePath) -> tuple[PurePath, FileRecord | None]:
        """Say where a result goes.

        Args:
            job: of which file.
            wanted: the name that it should have, in the format that it will have.

        Returns:
            its name, and what an earlier run wrote where that made all that is wanted now in the same way,
            from an input with a certain hash, and the result is there.

        Raises:
            OutputError: it would cost somebody a file, or lead out of the folder.
        """
        if job.named:
            return wanted, self._settle_named(job, wanted)
        name = wanted if str(wanted) == job.output else free_name(wanted, self._taken)
        if PurePath(job.output).name != os.path.basename(job.input):
            # Numbered already, among the files of this run; an earlier one may have had others.
            name = self._known_name(job.input, name) or name
        earlier = self._report.earlier(name.as_posix())
        finished = self._finished(earlier)
        if earlier is not None and earlier.input != job.input:
            # An input that was moved may still be the same one, which its hash will say.
            finished = None if _is_there(earlier.input) else finished
            name = self._known_name(job.input, name) or self._new_name(name)
            finished = finished or self._finished(self._report.earlier(name.as_posix()))
        if finished is None:
            self.require_target(name)
        return name, finished

    def finished_as_it_is(self, job: FileJob) -> FileRecord | None:
        """Return what an earlier run wrote of an input behind a URL whose state is the same as then.

        Args:
            job: of which file.

        Returns:
            None where that is not known, or where something has to be done.
        """
        name = None if job.state is None else self._report.output_of(job.input)
        record = None if name is None else self._report.earlier(name)
        if record is None or record.input != job.input or record.input_state != job.state:
            return None
        return self._finished(record)

    def _settle_named(self, job: FileJob, name: PurePath) -> FileRecord | None:
        """Return what an earlier run wrote of the same input to a place that the user named."""
        earlier = self._report.earlier(name.as_posix())
        if earlier is not None and earlier.input != job.input:
            if not self._overwrite and self.results.has(name):
                raise OutputError(
                    f"{self.results.shown(name)} is the result of {earlier.input}; "
                    "name another file or allow overwriting"
                )
            earlier = None
        finished = self._finished(earlier)
        if finished is None:
            self.require_target(name)
        return finished

    def with_what_is_left(self, record: FileRecord, output: PurePath) -> FileRecord:
        """Return the record of an input that failed with the earlier result that there is of it.

        Args:
            record: of the input.
            output: the name that its result would have.
        """
        earlier = self._report.earlier(output.as_posix())
        if earlier is not None and earlier.input != record.input:
            known = self._known_name(record.input, output)
            if known is None:
                return record
            output, earlier = known, self._report.earlier(known.as_posix())
        explanation = self.explained.own(output)
        if not (self._report.owns(output.as_posix()) and self.results.has(output)):
            return replace(record, explanation=explanation)
        written = None if earlier is None else earlier.output_sha256
        return replace(record, output=output.as_posix(), output_sha256=written, explanation=explanation)

    def _known_name(self, source: str, wanted: PurePath) -> PurePath | None:
        """Return the name that an earlier run gave to an input's result, with another number or none."""
        known = self._report.output_of(source)
        if known is None:
            return None
        name = PurePath(known)
        if (name.parent, name.suffix) != (wanted.parent, wanted.suffix):
            return None
        # A long stem was cut for the number.
        stem, other = (_NUMBER.sub("", each.stem) for each in (name, wanted))
        return name if stem.startswith(other) or other.startswith(stem) else None

    def _new_name(self, wanted: PurePath) -> PurePath:
        """Return a numbered name that nothing has, and that no other file of the run wants."""
        self._taken.add(str(wanted).casefold())
        while True:
            name = free_name(wanted, self._taken)
            if self._report.earlier(name.as_posix()) is None and not self.results.has(name):
                return name

    def _finished(self, record: FileRecord | None) -> FileRecord | None:
        """Return a record if nothing has to be done, with a note where its result was worked on since."""
        if record is None or record.output is None or record.status == "failed":
            return None
        if record.identity != self._identity:
            return None
        if not self.results.holds(record.output):
            return None
        if self._explain and not self.explained.complete(record):
            return None
        notes = tuple(note for note in record.notes if note.code != _CHANGED.code)
        if not self.results.has_changed(record):
            return replace(record, notes=notes)
        return replace(record, notes=(*notes, _CHANGED)) if self.results.is_whole(record.output) else None

    def _require_unchanged(self, output: PurePath) -> None:
        """Raise where a result that a run wrote has become somebody's work."""
        name = output.as_posix()
        record = self._report.earlier(name)
        if self._overwrite or record is None or record.output_sha256 is None:
            return
        # Those that a killed run put there have no line yet.
        if self._report.claims(name):
            return
        if not self.results.holds(output) or not self.results.has_changed(replace(record, output=name)):
            return
        if self.results.is_whole(output):
            raise OutputError(
                f"{self.results.shown(output)} was changed after a run had written it; "
                "move it, choose another output folder or allow overwriting"
            )

    def require_explanation(self, path: PurePath) -> None:
        """Refuse the place of a file that explains a result, as :meth:`require_target` does.

        Raises:
            OutputError: it would cost somebody a file, or lead out of the folder.
        """
        if str(path).casefold() in self._taken:
            raise OutputError(
                f"{self.results.shown(path)} is the result of another input; restore that elsewhere"
            )
        output = path.parent.relative_to(EXPLAINED_FOLDER)
        self._require_free(path, path.as_posix() in self._report.explanation_of(output.as_posix()))

    def require_target(self, output: PurePath) -> None:
        """Refuse the place of a result that would leave the output folder or cost somebody a file.

        Raises:
            OutputError: it would.
        """
        self._require_free(output, self._report.owns(output.as_posix()))
        self._require_unchanged(output)

    def _require_free(self, output: PurePath, ours: bool) -> None:
        require_free(self.results, output, ours=ours, overwrite=self._overwrite)


def _is_there(source: str) -> bool:
    return Store(source).look() is not None if is_url(source) else os.path.lexists(source)
