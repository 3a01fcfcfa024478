"""What a run says of itself when it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from polyrestore.cli.common import print_json, print_table
from polyrestore.cli.progress import LONGEST_TABLE, RunProgress, row
from polyrestore.cli.stopping import exit_code
from polyrestore.cli.terminal import conclude, error_line, say

if TYPE_CHECKING:
    from polyrestore.bulk.estimate import Estimate
    from polyrestore.bulk.files import FileJob


@dataclass(frozen=True)
class Account:
    """What there is to say of a run.

    Attributes:
        progress: what it has done.
        output: the output folder, or its URL.
        report_folder: for the report, where one was named.
        left_out: files of other kinds, by ending.
        explain: whether results were explained.
        bare: whether the backbone alone restored them.
        as_json: print JSON.
        estimate: of a large run.
    """

    progress: RunProgress
    output: str | Path
    report_folder: Path | None
    left_out: Counter[str]
    explain: bool
    bare: bool
    as_json: bool
    estimate: Estimate | None = None

    def interrupted(self, stop: KeyboardInterrupt) -> NoReturn:
        """Say how far the run came before a signal ended it.

        Raises:
            Exit: with the code that belongs to the signal.
        """
        error_line("interrupted")
        if self.as_json:
            self._print_json()
        else:
            conclude(self.progress.account())
        raise typer.Exit(exit_code(stop)) from stop

    def finished(self, jobs: Sequence[FileJob] = ()) -> None:
        """Say what became of the files.

        Args:
            jobs: in which order a table has them; those that are not there come last.

        Raises:
            Exit: with 1, where a file failed.
        """
        if self.as_json:
            self._print_json()
        else:
            self._show(jobs)
        if self.progress.counts["failed"]:
            raise typer.Exit(1)

    def _print_json(self) -> None:
        print_json(
            **self.progress.numbers(),
            left_out=dict(self.left_out),
            report=str(self._report()),
            explained=self._explained(),
            estimate=None if self.estimate is None else asdict(self.estimate),
        )

    def _show(self, jobs: Sequence[FileJob]) -> None:
        from polyrestore.bulk.files import describe_kinds

        progress, counts = self.progress, self.progress.counts
        if progress.found <= LONGEST_TABLE:
            order = {job.input: number for number, job in enumerate(jobs)}
            records = sorted(progress.records, key=lambda record: order.get(record.input, len(order)))
            nothing = "backbone alone" if self.bare else "clean"
            rows = [row(record, nothing) for record in records]
            print_table(("file", "status", "composition", "seconds"), rows)
        for line in progress.notes.lines():
            say(f"note: {line}")
        if self.left_out:
            say(describe_kinds(self.left_out))
        say(f"report: {self._report()}")
        if self.explain:
            say(f"explained: {self._explained()}")
        conclude(
            f"{progress.found} found: {counts['restored']} restored, {counts['skipped']} skipped, "
            f"{counts['failed']} failed, in {progress.seconds():.1f} s"
        )

    def _explained(self) -> str | None:
        from polyrestore.bulk.record import EXPLAINED_FOLDER

        if not self.explain:
            return None
        folder = self.output
        return str(folder / EXPLAINED_FOLDER) if isinstance(folder, Path) else f"{folder}/{EXPLAINED_FOLDER}"

    def _report(self) -> Path:
        from polyrestore.bulk.run import report_path

        return report_path(self.output, self.report_folder)
