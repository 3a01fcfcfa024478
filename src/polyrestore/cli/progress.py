"""How far a run over files has come: bars on a terminal, a line now and then in a log file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyrestore.cli.terminal import error_line, progress_line
from polyrestore.notes import NoteCounts

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from polyrestore.bulk.record import FileRecord

# A table of a million rows helps nobody; all of them are in the report.
LONGEST_TABLE = 40
# A picture of fewer tiles is finished before anybody asks how far it has come.
_FEWEST_TILES = 4
_SECONDS_BETWEEN_LINES = 30.0


def progress_bars(console: Console) -> Progress:
    """Return bars with a name, how many of how many, and the time left; only a terminal shows them."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


class RunProgress:
    """What a run has done so far, and where that is shown.

    Attributes:
        found: how many files there are.
        counts: how many files ended in each status.
        records: the first ones, for a short table.
        notes: what the notes of restored files are about.
    """

    def __init__(self, found: int) -> None:
        self.found = found
        self.counts: Counter[str] = Counter()
        self.records: list[FileRecord] = []
        self.notes = NoteCounts()
        self._parts = _Parts()
        self._bars: Progress | None = None
        self._started = self._told = time.monotonic()

    def add(self, found: int) -> None:
        """Take note of so many more files that there are."""
        self.found += found
        if self._bars is not None:
            self._bars.update(self._bars.task_ids[0], total=self.found)

    def on_file(self, record: FileRecord) -> None:
        """Take note of a finished file, and show its error."""
        self.counts[record.status] += 1
        if record.status == "restored":
            self.notes.add(record.notes)
        else:
            # The others were told when the file was restored.
            self.notes.add([note for note in record.notes if note.code in ("changed", "crashed")])
        # A million of them would fill the memory.
        if len(self.records) < LONGEST_TABLE:
            self.records.append(record)
        if self._bars is not None:
            files, tiles = self._bars.task_ids
            self._bars.update(files, completed=self.counts.total())
            self._bars.update(tiles, visible=False)
        if record.error is not None:
            error_line(record.error)
        if self.counts.total() < self.found:
            self._tell(self.text())

    def on_tile(self, done: int, total: int) -> None:
        """Show how far the file at hand has come.

        Args:
            done: tiles of an image, or frames of a video, that are finished.
            total: how many it has.
        """
        if total < _FEWEST_TILES:
            return
        if self._bars is not None:
            self._bars.update(self._bars.task_ids[1], completed=done, total=total, visible=True)
        left = self._parts.time_left(done, total)
        self._tell(f"{self.text()}; part {done} of {total} of the next one{left}")

    def text(self) -> str:
        """Return "12 of 300 files done, 1 failed"."""
        failed = f", {self.counts['failed']} failed" if self.counts["failed"] else ""
        return f"{self.counts.total()} of {self.found} files done{failed}"

    def account(self) -> str:
        """Return what has been done of a run that ends early."""
        return (
            f"{self.found} found: {self.counts['restored']} restored, {self.counts['skipped']} skipped, "
            f"{self.counts['failed']} failed, {self.found - self.counts.total()} not reached; "
            "run again to continue"
        )

    def seconds(self) -> float:
        """Return how long the run has taken so far."""
        return time.monotonic() - self._started

    def numbers(self) -> dict[str, Any]:
        """Return the same as values, with the time and what the notes are about."""
        return {
            "found": self.found,
            "restored": self.counts["restored"],
            "skipped": self.counts["skipped"],
            "failed": self.counts["failed"],
            "not_reached": self.found - self.counts.total(),
            "seconds": round(self.seconds(), 3),
            "notes": self.notes.files(),
        }

    def _tell(self, text: str) -> None:
        """Print a line where there are no bars, and where the last one was long ago."""
        now = time.monotonic()
        if self._bars is None and now - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = now
            progress_line(f"{text}, after {duration(now - self._started)}")

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show bars for the length of a block, where standard error is a terminal."""
        from rich.console import Console

        console = Console(stderr=True)
        if not console.is_terminal:
            yield
            return
        with progress_bars(console) as bars:
            bars.add_task("restoring", total=self.found)
            bars.add_task("parts of one file", visible=False)
            self._bars = bars
            try:
                yield
            finally:
                self._bars = None


class _Parts:
    """When the first parts of the file at hand were finished, for the time that the others will take."""

    def __init__(self) -> None:
        self._total = self._first = self._latest = 0
        self._since = 0.0

    def time_left(self, done: int, total: int) -> str:
        """Return ", about 3 min left"; nothing where it is too early to say."""
        now = time.monotonic()
        if total != self._total or done < self._latest:
            self._total, self._first, self._since = total, done, now
        self._latest = done
        if done <= self._first or done >= total:
            return ""
        return f", about {duration((now - self._since) / (done - self._first) * (total - done))} left"


def duration(seconds: float) -> str:
    """Return a time for people: "3 s", "2 min", "2 h 10 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def row(record: FileRecord, nothing: str) -> tuple[str, str, str, str]:
    """Return a file's row of the table: name, status, composition, seconds.

    Args:
        record: what became of it.
        nothing: what to call an empty composition.
    """
    from polyrestore.cli.common import weights_text

    composition = "" if record.status == "failed" else weights_text(record.weights, nothing)
    seconds = "" if record.seconds is None else f"{record.seconds:.2f}"
    return record.output or Path(record.input).name, record.status, composition, seconds
