"""Where cases are tried: the command as a function or a process, and what it left behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyrestore.bulk.report import REPORT_NAME
from polyrestore.cli.main import run

_LONGEST_S = 300

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Verdict:
    """What came of one case.

    Attributes:
        passed: whether the answer is right.
        figures: what was measured or said.
    """

    passed: bool
    figures: str


@dataclass(frozen=True)
class Case:
    """An input, or a way to use the command, whose right answer is known.

    Attributes:
        check: tries it.
        needs: the files of the folder that it takes.
        weights: True where the answer is that of the weights more than of the code.
    """

    check: Callable[[Workplace], Verdict]
    needs: tuple[str, ...] = ()
    weights: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: its exit code.
        said: standard output and standard error together.
        output: the output folder, there or not.
    """

    code: int
    said: str
    output: Path

    @property
    def records(self) -> list[dict[str, Any]]:
        """Return the lines of the report."""
        return [json.loads(line) for line in (self.output / REPORT_NAME).read_text().splitlines()]

    @property
    def record(self) -> dict[str, Any]:
        """Return the only line of the report."""
        (record,) = self.records
        return record

    @property
    def result(self) -> Path:
        """Return the only result."""
        return self.output / str(self.record["output"])

    @property
    def codes(self) -> list[str]:
        """Return the codes of all notes."""
        return [code for record in self.records for code in record["note_codes"]]

    def last_line(self) -> str:
        """Return what was said at the end."""
        return (self.said.strip().splitlines() or [""])[-1]


@dataclass
class Workplace:
    """A folder to work in, and the folder of inputs.

    Attributes:
        inputs: the folder of cases; nothing is written there.
        room: an empty folder.
        bundle: to restore with.
    """

    inputs: Path
    room: Path
    bundle: str
    _count: int = field(default=0, init=False)

    def new_folder(self) -> Path:
        """Return a folder that is not there yet."""
        self._count += 1
        return self.room / str(self._count)

    def restore(self, *arguments: object, output: Path | None = None) -> Outcome:
        """Run ``polyrestore restore`` in this process; inputs are names in the folder, or paths."""
        folder = output or self.new_folder()
        words = [str(argument) for argument in arguments]
        given = [str(self.inputs / word) if (self.inputs / word).exists() else word for word in words]
        return self.command("restore", *given, "-o", folder, "--bundle", self.bundle, output=folder)

    def command(self, *arguments: object, output: Path | None = None) -> Outcome:
        """Run any command in this process."""
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            code = run([str(argument) for argument in arguments])
        return Outcome(code, shown.getvalue(), output or self.room)

    def process(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        words = [str(argument) for argument in arguments]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen([sys.executable, "-m", "polyrestore", *words], text=True, **options)

    def shell(self, line: str, *arguments: object) -> tuple[int, str]:
        """Run a line of the shell with the command in ``"$@"``; return its exit code and standard error."""
        words = [sys.executable, "-m", "polyrestore", *(str(argument) for argument in arguments)]
        done = subprocess.run(
            ["sh", "-c", line, "sh", *words], stderr=subprocess.PIPE, text=True, timeout=_LONGEST_S
        )
        return done.returncode, done.stderr


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in another folder for a while."""
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def is_one_line(said: str, *words: str) -> bool:
    """Say whether there is one line of error, without a traceback, that holds all words."""
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    return len(errors) == 1 and "Traceback" not in said and all(word in errors[0] for word in words)


def shown_error(said: str) -> str:
    """Return the first line of error, or the last line where there is none, with paths from the root."""
    lines = said.replace(f"{_ROOT}{os.sep}", "").strip().splitlines() or ["nothing said"]
    found = next((line for line in lines if line.startswith("error: ")), lines[-1])
    return found[:150]


def join_cases(*groups: Mapping[str, Case]) -> dict[str, Case]:
    """Return the cases of several groups.

    Raises:
        ValueError: two have one name.
    """
    cases: dict[str, Case] = {}
    for group in groups:
        if twice := set(cases) & set(group):
            raise ValueError(f"cases of the same name: {', '.join(sorted(twice))}")
        cases |= group
    return cases
