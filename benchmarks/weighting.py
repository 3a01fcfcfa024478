"""Compare the strategies that balance tasks, on one network, the same batches, and the same starting points."""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import torch

from benchmarks.weighting_runs import VARIANTS, Bench, Run, generated_images
from polyrestore.data import load_clean


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    torch.set_num_threads(1)
    bench = make_bench(options)
    runs = [
        Run(setting, variant, seed, options.steps, network)
        for network, seed, setting, variant in product(
            options.networks, range(options.seeds), options.settings, options.variants
        )
    ]
    number, count = map(int, options.share.split("/"))
    for run in runs[number - 1 :: count]:
        record = bench.result(run)
        print(run.name, record["psnr"], record["processor_seconds"], flush=True)
    return 0


def make_bench(options: argparse.Namespace) -> Bench:
    if options.generated:
        return Bench(generated_images(6, 0), generated_images(3, 1), options.work)
    data = options.data
    return Bench(load_clean([data / "train" / "BSD381"]), load_clean([data / "val" / "BSD32"]), options.work)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="with train/ and val/")
    parser.add_argument("--generated", action="store_true", help="draw small images instead of reading any")
    parser.add_argument("--work", type=Path, required=True, help="folder for batches, logs and finished runs")
    parser.add_argument("--settings", nargs="+", default=["balanced", "rare"])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--networks", nargs="+", default=["compact"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--share", default="1/1", help="i/n: make every n-th run only, from the i-th on")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
