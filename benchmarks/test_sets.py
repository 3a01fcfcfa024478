"""Measure a bundle on the test sets: blind, with the degradation named, and mixtures with single adapters.

Prints a table, and writes JSON and Markdown after every set, so that an interrupted run keeps what it has.

    python -m benchmarks.test_sets --data FOLDER [--bundle NAME] [--sets NAME,NAME] [--limit N]

FOLDER holds one folder per set: images in it, or pairs in its ``input`` and ``target``, matched by file name.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

import polyrestore
from benchmarks.harness import (
    describe_bundle,
    describe_machine,
    describe_versions,
    make_parser,
    make_progress,
    positive,
    run_reported,
    write_results,
)
from benchmarks.house_sets import HOUSE_SETS, house_set
from polyrestore.cli.common import print_table
from polyrestore.evaluation.measure import measure_set
from polyrestore.evaluation.metrics import Protocol
from polyrestore.evaluation.report import as_json, as_markdown, as_rows, headings
from polyrestore.evaluation.results import SetResult
from polyrestore.evaluation.scores import heading

PEERS = Path(__file__).resolve().parent / "peers.json"
# The window that the figures in peers.json were computed with.
PROTOCOL = Protocol(window="uniform")


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser(__doc__, "test-sets", device=True)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder per test set")
    names = ", ".join(HOUSE_SETS)
    parser.add_argument("--sets", default="", help=f"only these, separated by commas: {names}")
    parser.add_argument("--limit", type=positive, help="only the first N images of each set")
    return run_reported(partial(run, parser.parse_args(arguments)))


def advance(progress: Progress, task: TaskID, image: str) -> None:
    progress.advance(task)


def run(options: argparse.Namespace) -> None:
    named = [house_set(name.strip()) for name in options.sets.split(",")] if options.sets else None
    sets = [each.below(options.data) for each in named or HOUSE_SETS.values()]
    restorer = polyrestore.load(options.bundle, options.device)
    about = describe(restorer, options)
    peers: dict[str, str] = json.loads(PEERS.read_text(encoding="utf-8"))
    results: list[SetResult] = []
    with make_progress() as progress:
        for each in sets:
            task = progress.add_task(
                each.name, total=min(len(each.samples), options.limit or len(each.samples))
            )
            results.append(
                measure_set(
                    restorer,
                    each,
                    limit=options.limit,
                    protocol=PROTOCOL,
                    on_image=partial(advance, progress, task),
                )
            )
            write_results(options, as_json(results, about), as_markdown(results, about, peers))
    print(f"{heading()}, mean per image")
    print_table(headings(), as_rows(results, peers))
    print(f"written: {options.output / options.name}.json and .md")


def describe(restorer: polyrestore.Restorer, options: argparse.Namespace) -> dict[str, Any]:
    about: dict[str, Any] = {
        **describe_bundle(restorer),
        "adapters": ", ".join(restorer.adapters),
        "device": f"{restorer.device}, {describe_machine()}",
        "versions": describe_versions(),
    }
    if options.limit:
        about["limit"] = f"the first {options.limit} images of each set only"
    return about


if __name__ == "__main__":
    sys.exit(main())
