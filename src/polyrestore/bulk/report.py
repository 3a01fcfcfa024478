"""The report of a run: one JSON line per file, on disk before the next file is accounted for.

The report is also what a later run continues from. A run over a million files must not hold a million
records: all that is kept in memory of an earlier one is where its line begins. Beside the report lies a
hidden file that holds the lock and the names of the files that are being put in their places, so that a run
which was killed between a result and its line still knows that result as its own.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from polyrestore.bulk.journal import Journal, LastLines
from polyrestore.bulk.record import FileRecord, NewerLineError, is_cut_short, result_of
from polyrestore.errors import OutputError

REPORT_NAME = "report.jsonl"
PENDING_NAME = ".report.pending"


class Report:
    """The open report of one output folder; a context manager.

    A line that is no record costs the account of its own file only. Where there is one, a copy of the report
    as it was is set aside, and the good lines stay.

    Attributes:
        path: the report file.
        notices: one sentence for each file that was set aside.
    """

    def __init__(self, output_folder: Path, has_result: Callable[[str], bool] | None = None) -> None:
        """Open or continue the report of ``output_folder``, which is made when it is missing.

        Args:
            output_folder: where it is.
            has_result: says whether there is a result with a relative name; None where results are in the
                same folder.

        Raises:
            OutputError: the folder cannot be written, another run is using it, or a later version wrote it.
        """
        self.path = output_folder / REPORT_NAME
        self._has_result = has_result or (lambda name: os.path.lexists(output_folder / name))
        self.notices: list[str] = []
        with contextlib.ExitStack() as opened:
            try:
                output_folder.mkdir(parents=True, exist_ok=True)
                self._pending = Journal(output_folder / PENDING_NAME)
                opened.callback(self._pending.close)
                if not self._pending.lock():
                    raise OutputError(
                        f"another run is writing to {output_folder}; wait for it or choose another"
                    )
                self._lines = Journal(self.path)
                opened.callback(self._lines.close)
                self._left_over = self._read_claims()
                self._left_over_bytes = self._pending.size_bytes()
                self._index = self._read_lines()
            except (FileExistsError, NotADirectoryError) as error:
                raise OutputError(
                    f"cannot write to {output_folder}: a file is in its place; name a folder for the results"
                ) from error
            except OSError as error:
                place = error.filename or output_folder
                raise OutputError(f"cannot write to {place}: {error.strerror or error}") from error
            self._claims = set(self._left_over)
            self._close = opened.pop_all().close

    def __enter__(self) -> Report:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._tidy()
        finally:
            self._close()

    def earlier(self, output: str) -> FileRecord | None:
        """Return what an earlier run wrote last about the result with this relative name."""
        start = self._index.find(output)
        if start is None:
            return None
        record = _record_of(self._lines.line_at(start))
        return record if record is not None and result_of(record) == output else None

    def output_of(self, source: str) -> str | None:
        """Return the relative name of the result that an input has, as far as lines tell of one."""
        start = self._by_input.find(source)
        record = None if start is None else _record_of(self._lines.line_at(start))
        return record.output if record is not None and record.input == source else None

    @cached_property
    def _by_input(self) -> LastLines:
        # Needed only where inputs of different folders share a name.
        return LastLines(self._inputs())

    def claims(self, output: str) -> bool:
        """Say whether a result with this relative name was put in its place and has no line yet."""
        return output in self._claims

    def owns(self, output: str) -> bool:
        """Say whether this or an earlier run wrote the result with this relative name."""
        if output in self._claims:
            return True
        record = self.earlier(output)
        return record is not None and record.output == output

    def explanation_of(self, output: str) -> set[str]:
        """Return the relative names of what this and earlier runs wrote to explain a result."""
        record = self.earlier(output)
        return self._claims.union(() if record is None else record.explanation)

    def claim(self, *names: str) -> None:
        """Note, before they are put in their places, that files with these relative names are ours.

        Raises:
            OutputError: that cannot be written down.
        """
        new = [name for name in names if name not in self._claims]
        if new:
            self._pending.append(*(json.dumps(name) for name in new))
            self._claims.update(new)

    def append(self, record: FileRecord) -> None:
        """Add one line, which says what the claims before it said, and return when it is on the disk.

        The line of a skipped file may come to the disk later: without it, the one before says the same.

        Raises:
            OutputError: the line cannot be written.
        """
        self._lines.append(record.to_line(), wait=record.status != "skipped")
        # Those that a killed run left behind wait for the lines of their own files.
        self._left_over -= {record.output, *record.explanation}
        self._forget_claims()

    def _forget_claims(self) -> None:
        self._pending.cut(self._left_over_bytes if self._left_over else 0)
        self._claims = set(self._left_over)

    def _read_claims(self) -> set[str]:
        claims: set[str] = set()
        damaged = False
        for _, line in self._pending.lines():
            if not line.strip():
                continue
            try:
                name = json.loads(line)
            except (ValueError, RecursionError):
                # The last one may have been cut short.
                damaged |= not line.startswith(b'"')
            else:
                if isinstance(name, str):
                    claims.add(name)
                damaged |= not isinstance(name, str)
        if damaged:
            self._set_aside(self._pending, "lines that name no file")
            self._pending.cut(0)
            self._pending.append(*(json.dumps(name) for name in sorted(claims)))
        return claims

    def _read_lines(self) -> LastLines:
        """Return where the last line about each result begins, once there are good lines only."""
        bad: set[int] = set()
        index = LastLines(self._results(bad))
        if not bad:
            return index
        lines = "1 line that is" if len(bad) == 1 else f"{len(bad)} lines that are"
        self._set_aside(self._lines, f"{lines} no account of a file")
        self._lines.keep(lambda start: start not in bad)
        return LastLines(self._results(set()))

    def _results(self, bad: set[int]) -> Iterator[tuple[str, int]]:
        """Yield each result that a line is about and where that begins; add other lines to ``bad``."""
        for start, line in self._lines.lines():
            try:
                record = _record_of(line)
            except NewerLineError as error:
                raise OutputError(
                    f"{self.path} was written by a later version (lines of format {error}); "
                    "use that one, or another output folder"
                ) from error
            except ValueError:
                bad.add(start)
                continue
            if record is not None and (result := result_of(record)) is not None:
                yield result, start

    def _set_aside(self, journal: Journal, what: str) -> None:
        kept = journal.set_aside()
        self.notices.append(f"{journal.path} held {what}; a copy of it as it was is {kept.name}")

    def _tidy(self) -> None:
        """Leave the latest line of every input and of every result, and claims that no line tells of."""
        del self._index
        self.__dict__.pop("_by_input", None)
        # Failing to tidy loses nothing: every line is on the disk already.
        with contextlib.suppress(OSError, OutputError, ValueError):
            by_input, by_result = LastLines(self._inputs()), LastLines(self._results(set()))
            if len(by_input) < sum(1 for _ in self._lines.lines()):
                # An input may have several results, in formats that different runs were asked for.
                self._lines.keep(
                    lambda start: by_input.holds(start) or (by_result.holds(start) and self._is_there(start))
                )
        self._left_over = {name for name in self._left_over if self._has_result(name)}
        self._forget_claims()

    def _is_there(self, start: int) -> bool:
        """Say whether the result that a line tells of is there."""
        record = _record_of(self._lines.line_at(start))
        return record is not None and record.output is not None and self._has_result(record.output)

    def _inputs(self) -> Iterator[tuple[str, int]]:
        for start, line in self._lines.lines():
            if (record := _record_of(line)) is not None:
                yield record.input, start


def _record_of(line: bytes) -> FileRecord | None:
    """Return the record of a line, None for a blank one and for the beginning of one.

    Raises:
        ValueError: it is something else.
        NewerLineError: it is of a later format.
    """
    text = line.decode("utf-8").strip()
    try:
        return FileRecord.from_line(text) if text else None
    except ValueError:
        if is_cut_short(text):
            return None
        raise
