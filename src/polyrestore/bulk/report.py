"""The report of a batch: one JSON line per file, on disk before the next file is begun.

The report is also what a later run continues from. Beside it lies a hidden file that holds the lock and the
names of outputs that are being written, so that a run which was killed between an output and its line still
knows that output as its own.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from polyrestore.errors import OutputError
from polyrestore.files import lock_for_life, write_text

REPORT_NAME = "report.jsonl"
PENDING_NAME = ".report.pending"

Status = Literal["restored", "skipped", "failed"]


@dataclass(frozen=True)
class FileRecord:
    """What became of one file.

    Attributes:
        input: absolute path of the input.
        output: path of the result relative to the output folder; None when there is none.
        status: "restored", "skipped" (an earlier run restored it in the same way) or "failed".
        error: what went wrong, None unless failed.
        weights: the composition; empty when the image was left as it was, or the bundle has no adapters.
        similarities: what the recogniser saw, empty when the degradations were named.
        seconds: time that restoring took, without reading and writing.
        width: of the result, in pixels.
        height: of the result, in pixels.
        notes: what of the file could not be kept, and what else a reader should know.
        explanation: paths of the files that explain the result, relative to the output folder.
        sha256: of the input's bytes.
        settings: everything that decides about the result beside the input.
    """

    input: str
    output: str | None
    status: Status
    error: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    similarities: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    notes: tuple[str, ...] = ()
    explanation: tuple[str, ...] = ()
    sha256: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_line(self) -> str:
        """Return the record as JSON without line breaks; names that are not UTF-8 survive as escapes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> FileRecord | None:
        """Return the record of a line, None for a line that a killed run left unfinished."""
        try:
            values = json.loads(line)
        except ValueError:
            return None
        if not isinstance(values, dict) or not {"input", "output", "status"} <= values.keys():
            return None
        known = {name: values[name] for name in (entry.name for entry in fields(cls)) if name in values}
        for name in ("notes", "explanation"):
            known[name] = tuple(known.get(name) or ())
        return cls(**known)


class Report:
    """The open report of one output folder; a context manager.

    Attributes:
        path: the report file.
        owned: relative names of the outputs and explanations that this or an earlier run wrote.
    """

    def __init__(self, output_folder: Path) -> None:
        """Open or continue the report of ``output_folder``, which is made when it is missing.

        Raises:
            OutputError: the folder cannot be written, or another run is using it.
        """
        self.path = output_folder / REPORT_NAME
        self._pending_path = output_folder / PENDING_NAME
        try:
            output_folder.mkdir(parents=True, exist_ok=True)
            self._pending = _open_inside(self._pending_path)
            try:
                _lock(self._pending, output_folder)
                self._lines = _open_inside(self.path)
            except BaseException:
                os.close(self._pending)
                raise
            text = _read_all(self._lines)
            claims = _read_all(self._pending)
        except OSError as error:
            raise OutputError(f"cannot write to {output_folder}: {error.strerror or error}") from error
        self._records: dict[str, FileRecord] = {}
        self._done: dict[str, FileRecord] = {}
        self.owned: set[str] = set()
        for line in claims.splitlines():
            with contextlib.suppress(ValueError):
                self.owned.add(str(json.loads(line)))
        for line in text.splitlines():
            if (record := FileRecord.from_line(line)) is not None:
                self._remember(record)
        # The next line must not be glued to the rest of one that was never finished.
        if text and not text.endswith("\n"):
            _append(self._lines, self.path, "\n")
        if claims and not claims.endswith("\n"):
            _append(self._pending, self._pending_path, "\n")

    def __enter__(self) -> Report:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._tidy()
        finally:
            os.close(self._lines)
            os.close(self._pending)

    def finished(self, output: str, sha256: str, settings: Mapping[str, Any]) -> FileRecord | None:
        """Return the record of an earlier run that wrote ``output`` from the same input in the same way."""
        record = self._done.get(output)
        if record is None or record.sha256 != sha256 or record.settings != settings:
            return None
        return record

    def claim(self, output: str) -> None:
        """Note, before it is written, that ``output`` is ours."""
        if output not in self.owned:
            _append(self._pending, self._pending_path, json.dumps(output) + "\n")
            self.owned.add(output)

    def append(self, record: FileRecord) -> None:
        """Add one line, and return when it is on the disk.

        Raises:
            OutputError: the line cannot be written.
        """
        _append(self._lines, self.path, record.to_line() + "\n")
        self._remember(record)

    def _remember(self, record: FileRecord) -> None:
        # Taken out first, so that records stay in the order in which they were made.
        self._records.pop(record.input, None)
        self._records[record.input] = record
        self.owned.update(record.explanation)
        if record.output is not None:
            self.owned.add(record.output)
            if record.status == "failed":
                self._done.pop(record.output, None)
            else:
                self._done[record.output] = record

    def _tidy(self) -> None:
        """Leave one line per input, the latest, and nothing pending."""
        # Failing to tidy loses nothing: every line is on the disk already.
        with contextlib.suppress(OSError, OutputError):
            write_text(self.path, "".join(record.to_line() + "\n" for record in self._records.values()))
            os.ftruncate(self._pending, 0)


def _open_inside(path: Path) -> int:
    # Following a link here would write outside the output folder.
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, flags, 0o666)


def _lock(descriptor: int, output_folder: Path) -> None:
    """Hold the output folder until the process ends, however it ends."""
    if not lock_for_life(descriptor):
        raise OutputError(f"another run is writing to {output_folder}; wait for it or choose another")


def _read_all(descriptor: int) -> str:
    parts = []
    os.lseek(descriptor, 0, os.SEEK_SET)
    while block := os.read(descriptor, 1 << 20):
        parts.append(block)
    return b"".join(parts).decode("ascii", errors="replace")


def _append(descriptor: int, path: Path, text: str) -> None:
    try:
        remaining = text.encode("ascii")
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        os.fsync(descriptor)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
