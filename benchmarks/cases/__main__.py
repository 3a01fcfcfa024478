"""Try every small input whose right answer is known, and print a table of what came of it.

    python -m benchmarks.cases FOLDER [--only WORDS] [--bundle NAME]

FOLDER holds the inputs; a case whose input is not there is skipped. Cases marked "weights" are answered by
the recognition and the weights more than by the code.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections import Counter
from functools import partial
from pathlib import Path

from benchmarks.cases import commands, formats, pictures, training
from benchmarks.cases.workplace import Case, Verdict, Workplace, join_cases
from benchmarks.harness import describe_versions, make_parser, run_reported, write_results
from polyrestore.cli.common import print_table
from polyrestore.cli.terminal import say
from polyrestore.errors import DataError
from polyrestore.evaluation.report import markdown_table

CASES = join_cases(pictures.CASES, formats.CASES, commands.CASES, training.CASES)
_COLUMNS = ("case", "answer of", "verdict", "figures")


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser(__doc__, "cases")
    parser.add_argument("folder", type=Path, help="the inputs")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        say(f"{options.folder} is not there: nothing is tried")
        return 0
    return run_reported(partial(run, options))


def run(options: argparse.Namespace) -> None:
    """Try the cases, print and write the table.

    Raises:
        DataError: an answer is wrong.
    """
    rows = []
    for name, case in CASES.items():
        if options.only in name:
            with tempfile.TemporaryDirectory() as room:
                place = Workplace(options.folder.resolve(), Path(room), options.bundle)
                verdict = judge(name, case, place)
            rows.append((name, "weights" if case.weights else "code", *verdict))
    print_table(_COLUMNS, rows)
    counts = Counter(row[2] for row in rows)
    say(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))
    content = {"about": describe_versions(), "cases": [dict(zip(_COLUMNS, row, strict=True)) for row in rows]}
    table = "\n".join(["# Small inputs with a known answer", "", *markdown_table(_COLUMNS, rows), ""])
    write_results(options, content, table)
    if counts["wrong"]:
        raise DataError(f"{counts['wrong']} of {len(rows)} answers are wrong")


def judge(name: str, case: Case, place: Workplace) -> tuple[str, str]:
    """Return the verdict on one case, "right", "wrong" or "skipped", and the figures."""
    needs = case.needs or ((name.split()[0].rstrip(","),) if "." in name.split()[0] else ())
    missing = [each for each in needs if not (place.inputs / each).exists()]
    if missing:
        return "skipped", f"{', '.join(missing)} is not there"
    try:
        verdict = case.check(place)
    except Exception as error:
        traceback.print_exc()
        verdict = Verdict(False, f"{type(error).__name__}: {error}")
    figures = verdict.figures.replace(f"{place.room}/", "").replace(f"{place.inputs}/", "")
    return "right" if verdict.passed else "wrong", " ".join(figures.split())


if __name__ == "__main__":
    sys.exit(main())
