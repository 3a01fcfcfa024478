"""Measure how adapters compose on mixtures of degradations: one alone, even weights, chained, oracle, blind.

Damages clean photographs, prints a table, and writes JSON and Markdown after every mixture, so that an
interrupted run keeps what it has.

    python -m benchmarks.composition --data FOLDER [--bundle NAME]... [--mixtures NAME,NAME] [--limit N]

``--page FILE`` also puts the tables between the two marks in a page such as docs/experiments/composition.md.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

import polyrestore
from benchmarks.composition.measuring import CompositionResult, measure_composition, mixture_samples
from benchmarks.composition.report import composition_as_json, composition_markdown, summary_rows
from benchmarks.harness import (
    describe_bundle,
    describe_versions,
    make_parser,
    make_progress,
    positive,
    run_reported,
    write_results,
)
from polyrestore.cli.common import print_table
from polyrestore.degradations import MIXTURES, named_mixture
from polyrestore.errors import DataError
from polyrestore.evaluation.metrics import Protocol
from polyrestore.files import write_text

PROTOCOL = Protocol(window="uniform")
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
# The published ones, and of the others those whose parts disturb each other most.
USUAL = (
    "low_light+haze", "low_light+rain", "low_light+snow", "haze+rain", "haze+snow", "low_light+haze+rain",
    "low_light+haze+snow", "motion_blur+jpeg", "low_light+motion_blur", "noise+jpeg", "low_light+noise",
    "rain+noise",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser(__doc__, "composition", bundles=True, device=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of clean photographs")
    parser.add_argument("--mixtures", default=",".join(USUAL), help="names separated by commas, or all")
    parser.add_argument("--limit", type=positive, default=12, help="the first N photographs")
    parser.add_argument("--crop-px", type=positive, default=256, help="centre of each that is used")
    parser.add_argument("--page", type=Path, help="a page to put the tables into as well")
    return run_reported(partial(run, parser.parse_args(arguments)))


def run(options: argparse.Namespace) -> None:
    names = list(MIXTURES) if options.mixtures == "all" else options.mixtures.split(",")
    mixtures = [named_mixture(name) for name in names]
    if options.page is not None:
        require_marks(options.page)
    # All are loaded first, so that a wrong name costs no hour of work.
    restorers = [polyrestore.load(name, options.device) for name in options.bundle or ["default"]]
    measured: list[tuple[dict[str, Any], list[CompositionResult]]] = []
    started = time.process_time()
    with make_progress() as progress:
        for restorer in restorers:
            results: list[CompositionResult] = []
            measured.append((describe(restorer), results))
            task = progress.add_task(restorer.bundle.name, total=len(mixtures))
            for each in mixtures:
                samples = mixture_samples(options.data, each, limit=options.limit, crop_px=options.crop_px)
                results.append(measure_composition(restorer, each, samples, protocol=PROTOCOL))
                progress.advance(task)
                write(measured, options)
    for about, results in measured:
        print(f"{about['bundle']}: PSNR in dB, mean per image")
        headings, *rows = summary_rows(results)
        print_table(headings, rows)
    spent_s = time.process_time() - started
    print(f"written: {options.output / options.name}.json and .md, {spent_s:.0f} s of CPU time")


def write(
    measured: list[tuple[dict[str, Any], list[CompositionResult]]], options: argparse.Namespace
) -> None:
    about = {
        "data": f"{options.data.name}, the first {options.limit}, centre of {options.crop_px} px",
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "versions": describe_versions(),
    }
    content = {
        "about": about,
        "bundles": [{**bundle, "sets": composition_as_json(results)} for bundle, results in measured],
    }
    facts = "\n".join(f"- {key}: {value}" for key, value in about.items()) + "\n"
    sections = [composition_markdown(results, bundle["bundle"]) for bundle, results in measured]
    tables = "\n".join([facts, *sections])
    write_results(options, content, f"# Composition\n\n{tables}")
    if options.page is not None:
        before, _, rest = options.page.read_text(encoding="utf-8").partition(BEGIN)
        write_text(options.page, f"{before}{BEGIN}\n\n{tables}\n{END}{rest.partition(END)[2]}")


def require_marks(page: Path) -> None:
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {page}: {error.strerror}") from error
    if not 0 <= text.find(BEGIN) < text.find(END):
        raise DataError(f"{page} has no place for the tables: {BEGIN} and, below it, {END}")


def describe(restorer: polyrestore.Restorer) -> dict[str, Any]:
    return {
        **describe_bundle(restorer),
        "adapters": list(restorer.adapters),
        "recognition": restorer.recognition_settings.to_dict(),
        "device": str(restorer.device),
    }


if __name__ == "__main__":
    sys.exit(main())
