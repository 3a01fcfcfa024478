"""Seconds for one megapixel with each runtime, and what the first run and a new composition cost.

The bundle's tiles, one composition named, one thread and two: each number of threads in a process of its own,
with an empty cache. Runtimes take turns, and the smallest time of each counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from typing import Any

import torch

import polyrestore
from benchmarks.harness import (
    RESULTS,
    describe_bundle,
    describe_versions,
    make_parser,
    positive,
    run_reported,
    write_results,
)
from polyrestore.runtimes.cache import CACHE_VARIABLE
from polyrestore.runtimes.registry import RUNTIMES

SIDE_PX = 1000
SMALL_PX = 96


def measure(bundle: str, named: str, rounds: int) -> dict[str, Any]:
    """Return by runtime: seconds a megapixel, seconds of a first small image, and of a new composition."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((3, SIDE_PX, SIDE_PX), generator=generator)
    small = image[:, :SMALL_PX, :SMALL_PX].clone()
    restorers = {name: polyrestore.load(bundle, "cpu", runtime=name) for name in RUNTIMES}
    found: dict[str, dict[str, float]] = {}
    for name, restorer in restorers.items():
        found[name] = {"first": _seconds(restorer, small, {named: 1.0})}
        same, other = [], []
        for number in range(5 * rounds):
            same.append(_run_in_block(restorer, small, named))
            weights = {named: 0.5 + 0.01 * number}
            other.append(_seconds(restorer, small, weights))
        found[name]["composition"] = max(0.0, min(other) - min(same))
    times: dict[str, list[float]] = {name: [] for name in restorers}
    for _ in range(rounds):
        for name, restorer in restorers.items():
            times[name].append(_seconds(restorer, image, {named: 1.0}))
    for name, values in times.items():
        found[name]["megapixel"] = min(values)
    return {name: {key: round(value, 4) for key, value in each.items()} for name, each in found.items()}


def _seconds(restorer: polyrestore.Restorer, image: torch.Tensor, weights: dict[str, float]) -> float:
    start = time.perf_counter()
    restorer.apply([image], weights)
    return time.perf_counter() - start


def _run_in_block(restorer: polyrestore.Restorer, image: torch.Tensor, named: str) -> float:
    """Return the seconds of an image whose composition acts already."""
    with restorer.composed({named: 1.0}) as run:
        run(image)
        start = time.perf_counter()
        run(image)
        return time.perf_counter() - start


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser(__doc__, "runtimes")
    parser.add_argument("--as", dest="named", default="noise", help="the adapter that acts")
    parser.add_argument("--rounds", type=positive, default=3, help="how often a megapixel is restored")
    parser.add_argument("--threads", type=positive, help=argparse.SUPPRESS)
    return run_reported(partial(run, parser.parse_args(arguments)))


def run(options: argparse.Namespace) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)
        print(json.dumps(measure(options.bundle, options.named, options.rounds)))
        return
    result: dict[str, Any] = {
        **describe_bundle(polyrestore.load(options.bundle, "cpu")),
        "as": options.named,
        "versions": describe_versions(),
        "load": round(os.getloadavg()[0], 1),
        "threads": {},
    }
    for threads in (1, 2):
        command = [sys.executable, "-m", "benchmarks.runtimes", "--bundle", options.bundle]
        command += ["--as", options.named, "--rounds", str(options.rounds), "--threads", str(threads)]
        with tempfile.TemporaryDirectory() as cache:
            surroundings = {**os.environ, CACHE_VARIABLE: cache}
            done = subprocess.run(
                command,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                cwd=RESULTS.parents[1],
                env=surroundings,
            )
        result["threads"][str(threads)] = json.loads(done.stdout)
    markdown = table(result)
    print(markdown)
    write_results(options, result, markdown)


def table(result: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = [
        f"{result['bundle']}, {result['as']} named, {result['versions']}; "
        f"load of the machine at the start {result['load']}.",
        "",
        "| threads | runtime | s a megapixel | s of the first small image | ms of a new composition |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {threads} | {name} | {each['megapixel']:.2f} | {each['first']:.2f} "
        f"| {each['composition'] * 1e3:.0f} |"
        for threads, runtimes in result["threads"].items()
        for name, each in runtimes.items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
