"""Compare the strategies that balance tasks: same network, same batches, same starting point per seed.

    python -m benchmarks.weighting --data FOLDER --work FOLDER [--share i/n]

A finished run is kept in the work folder and not made again, so the command goes on where it was stopped.
Several processes can share the runs; the same command without ``--share`` then writes tables, JSON and plots.
``--generated --steps 3 --seeds 1`` tries everything on drawn images in a minute.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmarks.harness import make_parser, run_reported, write_results
from benchmarks.weighting.evidence import ratio_statistics, step_costs
from benchmarks.weighting.report import by_part, by_variant, plot_differences, plot_weights, tables, title_of
from benchmarks.weighting.runs import (
    OPTIMISER,
    PATCH_PX,
    SETTINGS,
    Bench,
    Run,
    generated_images,
)
from benchmarks.weighting.variants import STRATEGIES, VARIANTS
from polyrestore.data import load_clean
from polyrestore.files import write_text

HERE = Path(__file__).resolve().parents[1]
COST_TURNS = 100


@dataclass(frozen=True)
class Part:
    """Runs that belong to one table."""

    network: str
    setting: str
    variants: Sequence[str]
    steps: int
    seeds: int = 3


PLAN = (
    Part("compact", "balanced", list(VARIANTS), 500),
    Part("compact", "rare", [*STRATEGIES, "art T=2", "art T=2 forgetting", "art, smoothed"], 500),
    Part("compact", "large", ("uniform", "art", "art T=2"), 500),
    Part("transweather", "balanced", ("uniform", "art"), 500),
    Part("airnet", "balanced", ("uniform", "art"), 250, seeds=2),
    Part("compact", "balanced", ("uniform", "art"), 800, seeds=1),
    Part("compact", "rare", ("uniform", "art"), 800, seeds=1),
    Part("transweather", "weather", ("uniform", "art"), 8000, seeds=2),
)


def main(arguments: list[str] | None = None) -> int:
    return run_reported(partial(run_plan, parse(arguments)))


def run_plan(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    bench = make_bench(options)
    number, count = map(int, options.share.split("/"))
    runs = [] if options.finished else planned(options)[number - 1 :: count]
    for run in runs:
        record = bench.result(run)
        print(run.name, record["psnr"], record["processor_seconds"], flush=True)
    if count == 1:
        write_report(bench, options)


def planned(options: argparse.Namespace) -> list[Run]:
    """Return the runs of the plan that the options leave in, seed by seed."""
    runs = (
        Run(part.setting, variant, seed, options.steps or part.steps, part.network)
        for seed in range(options.seeds)
        for part in PLAN
        for variant in part.variants
        if seed < part.seeds
        and part.network in (options.networks or [part.network])
        and part.setting in (options.settings or [part.setting])
        and variant in (options.variants or [variant])
    )
    # With one number of steps for all, parts may share runs.
    return list(dict.fromkeys(runs))


def make_bench(options: argparse.Namespace) -> Bench:
    if options.generated:
        return Bench(generated_images(6, 0), generated_images(3, 1), options.work)
    data = options.data
    return Bench(load_clean([data / "train" / "BSD381"]), load_clean([data / "val" / "BSD32"]), options.work)


def write_report(bench: Bench, options: argparse.Namespace) -> None:
    runs = [run for run in planned(options) if bench.finished(run)]
    settings = dict.fromkeys(run.setting for run in runs)
    records = [bench.result(run) for run in runs]
    # The parts in which all strategies take part.
    whole = {
        title: part
        for title, part in by_part(records).items()
        if part[0]["network"] == "compact" and len(by_variant(part)) >= min(4, len(by_variant(records)))
    }
    first = [
        run for run in runs if run.seed == 0 and run.variant in ("uniform", "art") and title_of(run) in whole
    ]
    report: dict[str, Any] = {
        "about": about(options, records),
        "optimiser": OPTIMISER.model_dump(mode="json"),
        "settings": {name: asdict(SETTINGS[name]) for name in settings},
        "inputs": {name: inputs(bench, name) for name in settings},
        "costs": costs(bench, first[0]) if first else {},
        "ratios": {f"{run.variant}, {title_of(run)}": ratio_statistics(bench, run) for run in first},
        "runs": [without_traces(record) for record in records],
    }
    text = tables(report)
    write_results(options, report, text)
    print(text)
    for part in whole.values():
        shown = [record for record in part if record["variant"] in (*STRATEGIES, "art T=2")]
        plot_weights(shown, options.plots / f"weighting-weights-{part[0]['setting']}.png")
    if whole:
        plot_differences(whole, options.plots / "weighting-differences.png")


def inputs(bench: Bench, setting: str) -> dict[str, float]:
    """Return the PSNR of the damaged validation crops themselves, by task."""
    validation = bench.validation(SETTINGS[setting].tasks)
    figures = {}
    for task, degraded in validation.degraded.items():
        error = ((degraded.clamp(0, 1) * 255).round() / 255 - validation.clean[task]).square().mean((1, 2, 3))
        figures[task] = round(float((-10 * error.clamp(min=1e-8).log10()).mean()), 3)
    return {**figures, "mean": round(fmean(figures.values()), 3)}


def costs(bench: Bench, run: Run) -> dict[str, dict[str, float]]:
    """Return the cost of a step of every strategy, measured once."""
    path = bench.folder / "costs.json"
    if not path.exists():
        measured = step_costs(bench, run.setting, run.steps, min(COST_TURNS, run.steps))
        write_text(path, json.dumps(measured))
    kept: dict[str, dict[str, float]] = json.loads(path.read_text())
    return kept


def about(options: argparse.Namespace, records: list[dict[str, Any]]) -> str:
    train, held_back = ("drawn images", "drawn images") if options.generated else ("BSD381", "BSD32")
    counts = {each["network"]: each["parameters"] for each in records}
    networks = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return (
        f"Trained on {train}, measured on {held_back}: crops at fixed severities, PSNR in dB, RGB, 8 bits. "
        f"Patches of {PATCH_PX} px, {OPTIMISER.name} at a learning rate of {OPTIMISER.learning_rate}, no "
        f"clipping. Parameters: {networks}. Mean ± deviation over seeds; differences are between runs of one "
        "seed, bold where a paired t-test at 5 % tells them from 0."
    )


def without_traces(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in ("losses", "weights")}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__, "weighting", bundle=False)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="with train/ and val/")
    parser.add_argument("--generated", action="store_true", help="draw small images instead of reading any")
    parser.add_argument("--work", type=Path, required=True, help="folder for batches, logs and finished runs")
    parser.add_argument("--plots", type=Path, default=HERE.parent / "docs" / "experiments", help="folder")
    parser.add_argument("--networks", nargs="+", help="of the plan, only these")
    parser.add_argument("--settings", nargs="+", help="of the plan, only these")
    parser.add_argument("--variants", nargs="+", help="of the plan, only these")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=0, help="for all runs, instead of the plan's")
    parser.add_argument("--finished", action="store_true", help="make no run, report on those there are")
    parser.add_argument("--share", default="1/1", help="i/n: make every n-th run only, from the i-th on")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
