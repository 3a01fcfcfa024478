"""Measure a bundle on the test sets: blind, with the degradation named, and mixtures with single adapters.

Prints a table, and writes JSON and Markdown after every set, so that an interrupted run keeps what it has.

    python -m benchmarks.test_sets --data FOLDER [--bundle NAME] [--sets NAME,NAME] [--limit N]

FOLDER holds one folder per set: images in it, or pairs in its ``input`` and ``target``, matched by file name.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

import polyrestore
from benchmarks.arguments import positive
from benchmarks.house_sets import HOUSE_SETS, house_set
from polyrestore.cli.common import error_line, print_table
from polyrestore.errors import PolyrestoreError
from polyrestore.evaluation.measure import SetResult, measure_set
from polyrestore.evaluation.metrics import Protocol
from polyrestore.evaluation.report import as_json, as_markdown, as_rows, headings
from polyrestore.evaluation.scores import heading
from polyrestore.evaluation.sets import EvaluationSet
from polyrestore.files import write_text

HERE = Path(__file__).resolve().parent
# The window that the figures in peers.json were computed with.
PROTOCOL = Protocol(window="uniform")


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    console = Console()
    try:
        sets = [house_set(name.strip()) for name in options.sets.split(",")] if options.sets else None
        run([each.below(options.data) for each in sets or HOUSE_SETS.values()], options, console)
    except PolyrestoreError as error:
        error_line(str(error))
        return 1
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder per test set")
    parser.add_argument("--bundle", default="default", help="shipped bundle, or a bundle's folder")
    parser.add_argument("--device", default=None, help="cpu, cuda, ...; a GPU where there is one by default")
    names = ", ".join(HOUSE_SETS)
    parser.add_argument("--sets", default="", help=f"only these, separated by commas: {names}")
    parser.add_argument("--limit", type=positive, default=None, help="only the first N images of each set")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder for JSON and Markdown")
    parser.add_argument("--name", default="test-sets", help="name of the two files")
    return parser.parse_args(arguments)


def advance(progress: Progress, task: TaskID, image: str) -> None:
    progress.advance(task)


def run(sets: list[EvaluationSet], options: argparse.Namespace, console: Console) -> None:
    restorer = polyrestore.load(options.bundle, options.device)
    about = describe(restorer, options)
    peers: dict[str, str] = json.loads((HERE / "peers.json").read_text(encoding="utf-8"))
    results: list[SetResult] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
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
            text = json.dumps(as_json(results, about), indent=1, allow_nan=False)
            write_text(options.output / f"{options.name}.json", text + "\n")
            write_text(options.output / f"{options.name}.md", as_markdown(results, about, peers))
    print(f"{heading()}, mean per image")
    print_table(headings(), as_rows(results, peers))
    print(f"written: {options.output / options.name}.json and .md")


def describe(restorer: polyrestore.Restorer, options: argparse.Namespace) -> dict[str, Any]:
    bundle = restorer.bundle
    parameters = sum(parameter.numel() for parameter in bundle.backbone.parameters())
    about: dict[str, Any] = {
        "bundle": f"{bundle.name}, version {bundle.info.version}",
        "backbone": f"{bundle.backbone.description.name}, {parameters / 1e6:.2f} M parameters",
        "adapters": ", ".join(restorer.adapters),
        "device": f"{restorer.device}, {torch.get_num_threads()} threads, {platform.machine()}",
        "versions": f"polyrestore {polyrestore.__version__}, torch {torch.__version__}",
    }
    if options.limit:
        about["limit"] = f"the first {options.limit} images of each set only"
    return about


if __name__ == "__main__":
    sys.exit(main())
