"""Speed and memory: runtimes by megapixels, beside other networks and denoisers, and what the machine can do.

Everything runs on the CPU. A size is measured in a process of its own, the smallest of a few times counts,
and its peak memory is that process's. What is compared runs turn by turn in one process. What the machine can
do is the rate of products of large matrices in the same run, beside what the network computes in a second.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

import polyrestore
from benchmarks import engine_parts
from benchmarks.engine_parts import PHOTOGRAPHS, SIGMA_255
from benchmarks.harness import (
    describe_bundle,
    describe_machine,
    describe_versions,
    make_parser,
    positive,
    run_reported,
    write_results,
)
from polyrestore.errors import PolyrestoreError
from polyrestore.evaluation.report import markdown_table

MEGAPIXELS = (0.25, 1.0, 4.0)
LARGE_MEGAPIXELS = (24.0, 100.0)
COMPARED = 0.25
TOLERANCE = 0.25
"""How much worse than the committed one a ratio may be: machines differ, and so do their loads."""


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser(__doc__, "engine")
    parser.add_argument("--as", dest="named", default="noise", help="the adapter that acts")
    parser.add_argument(
        "--runtime", action="append", help="which runtimes; all that are installed by default"
    )
    parser.add_argument("--megapixels", type=float, nargs="+", default=list(MEGAPIXELS), help="the sizes")
    parser.add_argument("--large", action="store_true", help="24 and 100 megapixels, by one runtime")
    parser.add_argument("--rounds", type=positive, default=4, help="how often each runs; large sizes once")
    parser.add_argument("--threads", type=positive, help="of torch")
    parser.add_argument("--photographs", type=Path, default=PHOTOGRAPHS, help="to take noise off")
    parser.add_argument("--limit", type=positive, help="the first so many of them only")
    parser.add_argument("--beside", default="nothing known", help="what else the machine does meanwhile")
    parser.add_argument("--check", action="store_true", help="compare a short run's ratios with the results")
    return run_reported(partial(run, parser.parse_args(arguments)))


def run(options: argparse.Namespace) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    runtimes = options.runtime or engine_parts.installed_runtimes()
    if options.check:
        check(options, runtimes)
        return
    result = measure(options, runtimes)
    markdown = as_markdown(result)
    print(markdown)
    write_results(options, result, markdown)


def measure(options: argparse.Namespace, runtimes: list[str]) -> dict[str, Any]:
    """Return all figures as plain JSON values."""
    shared = {"bundle": options.bundle, "named": options.named}
    load = [round(os.getloadavg()[0], 1)]
    # First of all: a child process counts its parent's memory at its birth as its own.
    sizes = [
        {"runtime": runtime, "megapixels": megapixels}
        | engine_parts.in_process(
            "size",
            runtime=runtime,
            megapixels=megapixels,
            rounds=1 if megapixels > 4 else options.rounds,
            **shared,
        )
        for megapixels, runtime in [
            *product(options.megapixels, runtimes),
            *product(LARGE_MEGAPIXELS if options.large else (), runtimes[:1]),
        ]
    ]
    compositions = [
        {"runtime": runtime}
        | engine_parts.in_process("composition", runtime=runtime, rounds=5 * options.rounds, **shared)
        for runtime in runtimes
    ]
    starts = engine_parts.start_up(rounds=options.rounds, **shared)
    found = compare(options, runtimes, restormer=True)
    denoisers, left_out = engine_parts.denoisers(
        options.bundle, options.named, options.photographs, options.limit
    )
    load.append(round(os.getloadavg()[0], 1))
    return {
        **describe_bundle(polyrestore.load(options.bundle, "cpu")),
        "as": options.named,
        "versions": describe_versions(),
        "machine": describe_machine(),
        "load": load,
        "beside": options.beside,
        "sizes": sizes,
        "compositions": compositions,
        "start_up": starts,
        **found,
        "denoisers": denoisers,
        "left_out": left_out,
    }


def compare(options: argparse.Namespace, runtimes: list[str], *, restormer: bool) -> dict[str, Any]:
    """Return the seconds of networks that took turns, what the network computes, and the ratios."""
    network = polyrestore.load(options.bundle, "cpu").bundle.backbone
    gflops = engine_parts.network_gflops(network)
    contestants = engine_parts.contestants(options.bundle, runtimes, options.named, restormer=restormer)
    turns: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    rates = [engine_parts.matrix_gflops()]
    for megapixels in (COMPARED, *(each for each in options.megapixels if restormer and each == 1.0)):
        image = engine_parts.square(megapixels)
        # A megapixel takes Restormer minutes and many GB.
        names = [name for name in contestants if megapixels == COMPARED or name != "restormer"]
        runs = {name: partial(contestants[name], image) for name in names}
        seconds = engine_parts.in_turn(runs, options.rounds)
        rates.append(engine_parts.matrix_gflops())
        turns.append({"megapixels": megapixels} | {name: round(each, 3) for name, each in seconds.items()})
        for rival in ("nafnet", "restormer"):
            if rival in seconds:
                ratios |= {
                    f"{name} / {rival}, {megapixels:g} MP": round(seconds[name] / seconds[rival], 4)
                    for name in runtimes
                }
        if "torch" in seconds:
            exact = image.shape[1] * image.shape[2] / 1e6
            share = gflops * exact / seconds["torch"] / max(rates)
            ratios[f"matrix rate / torch, {megapixels:g} MP"] = round(1 / share, 3)
    return {
        "gflops_a_megapixel": round(gflops, 1),
        "matrix_gflops_a_second": round(max(rates), 1),
        "turns": turns,
        "ratios": ratios,
    }


def check(options: argparse.Namespace, runtimes: list[str]) -> None:
    """Compare the ratios of a short run with the committed ones; smaller is better.

    Raises:
        PolyrestoreError: there are no results to compare with, or one line per ratio that got worse.
    """
    path = options.output / f"{options.name}.json"
    if not path.is_file():
        raise PolyrestoreError(f"there are no results in {path} to compare with")
    before = json.loads(path.read_text(encoding="utf-8"))["ratios"]
    now = compare(options, runtimes, restormer=False)["ratios"]
    worse = worse_ratios(before, now)
    for name in sorted(before.keys() & now.keys()):
        print(f"{name}: {now[name]:.3f}, was {before[name]:.3f}")
    if worse:
        raise PolyrestoreError("\n".join(worse))


def worse_ratios(before: dict[str, float], now: dict[str, float]) -> list[str]:
    """Return a line for each ratio of both runs that is larger now by more than ``TOLERANCE``."""
    return [
        f"{name} got worse: {now[name]:.3f}, was {before[name]:.3f} and may be {limit:.3f}"
        for name in sorted(before.keys() & now.keys())
        if now[name] > (limit := before[name] * (1 + TOLERANCE))
    ]


def as_markdown(result: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = [
        "# Speed",
        "",
        f"{result['bundle']} ({result['backbone']}), `{result['as']}` named. {result['versions']},",
        f"{result['machine']}. Load {result['load'][0]} at the start and {result['load'][1]} at the end;",
        f"beside it the machine did: {result['beside']}. Seconds are the smallest of several.",
        "",
        _table(result["sizes"]),
        "What a new composition adds to an image, in milliseconds, and the first image of a process with the",
        "conversion of the network:",
        "",
        _table(result["compositions"]),
        f"A fresh process takes {result['start_up']['help_s']} s for `polyrestore --help`, and",
        f"{result['start_up']['first_image_s']} s to restore a photograph of 256 px.",
        "",
        "Turn by turn, in seconds (NAFNet of width 32, [1,1,1,28]; Restormer of full size; both untrained):",
        "",
        *(_table([turn]) for turn in result["turns"]),
        f"The network computes {result['gflops_a_megapixel']} GFLOP a megapixel; products of large matrices",
        f"run at {result['matrix_gflops_a_second']} GFLOP a second. Smaller ratios are better:",
        "",
        _table([{"ratio": name, "value": value} for name, value in result["ratios"].items()]),
        f"Gaussian noise of sigma {SIGMA_255} on photographs, mean PSNR in dB and seconds:",
        "",
        _table(result["denoisers"]),
        *(f"{line}\n" for line in result["left_out"]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _table(rows: list[dict[str, Any]]) -> str:
    header = [key.replace("_", " ") for key in rows[0]]
    return "\n".join([*markdown_table(header, [[str(value) for value in row.values()] for row in rows]), ""])


if __name__ == "__main__":
    sys.exit(main())
