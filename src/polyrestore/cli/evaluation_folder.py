"""The folder that ``polyrestore evaluate -o`` fills: what was measured so far, and in the end tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from polyrestore.bulk.journal import Journal
from polyrestore.errors import OutputError
from polyrestore.evaluation.kept import KeptResults
from polyrestore.files import write_bytes, write_text

FILES = ("evaluation.json", "evaluation.md", "images.csv", "rows.tex")
SHEETS = "sheets"
UNFINISHED = ".unfinished"
_JOURNAL = "journal.jsonl"
_WRITING = '{"writing": true}'


class EvaluationFolder:
    """An open output folder.

    Attributes:
        kept: the results of an evaluation that was interrupted, and of this one.
        found: of how many images it had results when it was opened.
    """

    def __init__(self, output: Path, journal: Journal) -> None:
        self.output = output
        self._journal = journal
        self.kept = KeptResults.read(journal, output / UNFINISHED)
        self.found = len(self.kept.records)

    def write(self, texts: Mapping[str, str], pictures: Mapping[str, bytes]) -> None:
        """Write tables and pictures, and forget what was kept of single images.

        Raises:
            OutputError: a file cannot be written; what was kept stays then.
        """
        self._journal.append(_WRITING)
        for name, content in pictures.items():
            write_bytes(self.output / SHEETS / name, content)
        for name, text in texts.items():
            write_text(self.output / name, text)
        self._journal.close()
        _remove(self.output)


@contextlib.contextmanager
def open_evaluation(output: Path) -> Iterator[EvaluationFolder]:
    """Open a folder for an evaluation, and go on with one that was interrupted in it.

    Raises:
        OutputError: it holds a finished evaluation, or files of other origin under the names of tables; or
            another process evaluates into it; or nothing can be written there.
    """
    place = output / UNFINISHED / _JOURNAL
    was_there = output.exists()
    if not place.is_file():
        _require_free(output)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        journal = Journal(place)
    except OSError as error:
        raise OutputError(f"cannot write to {place.parent}: {error.strerror or error}") from error
    opened = None
    try:
        if not journal.lock():
            raise OutputError(f"another process evaluates into {output}")
        # Otherwise the tables are those of an evaluation that was interrupted while they were written.
        if all(line.strip() != _WRITING.encode() for _, line in journal.lines()):
            _require_free(output)
        opened = EvaluationFolder(output, journal)
        yield opened
    finally:
        journal.close()
        if opened is not None and not opened.kept.records:
            _remove(output)
            if not was_there:
                with contextlib.suppress(OSError):
                    output.rmdir()


def _require_free(output: Path) -> None:
    for name in (*FILES, SHEETS):
        if (output / name).exists():
            raise OutputError(f"{output / name} is there already; choose another folder")


def _remove(output: Path) -> None:
    """Remove what was kept, and nothing else."""
    folder = output / UNFINISHED
    with contextlib.suppress(OSError):
        for path in (*folder.glob("[0-9a-f]" * 64 + ".png"), folder / _JOURNAL):
            path.unlink(missing_ok=True)
        folder.rmdir()
