"""Enlarging two, three and four times, beside Pillow's cubic and Lanczos interpolation.

Photographs are cut to multiples of the scale, reduced by Pillow's cubic kernel and rounded to 8 bits. What is
made of them is compared in BT.601 luma without a border as wide as the scale, as it is done since SRCNN.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor

import polyrestore
from benchmarks.harness import (
    describe_bundle,
    describe_versions,
    make_parser,
    make_progress,
    positive,
    run_reported,
    write_results,
)
from polyrestore.data.images import image_paths
from polyrestore.evaluation.metrics import Protocol, mean_psnr, psnr
from polyrestore.evaluation.report import markdown_table
from polyrestore.restoration.enlarging import ENLARGED_AS, SCALES

Enlarge = Callable[[PillowImage.Image], Tensor]
CUBIC, LANCZOS = PillowImage.Resampling.BICUBIC, PillowImage.Resampling.LANCZOS


def as_pixels(image: PillowImage.Image) -> Tensor:
    """Return (3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def interpolated(kernel: PillowImage.Resampling, scale: int) -> Enlarge:
    return lambda small: as_pixels(small.resize((scale * small.width, scale * small.height), kernel))


def enlarged(bundle: str, scale: int) -> Enlarge:
    restorer = polyrestore.load(bundle, scale=scale)
    return lambda small: restorer.restore(small, ENLARGED_AS).pixels


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser(__doc__, "enlarging")
    parser.add_argument("folders", nargs="+", type=Path, help="of clean photographs")
    parser.add_argument("--limit", type=positive, help="the first so many photographs of each folder only")
    return run_reported(partial(run, parser.parse_args(arguments)))


def run(options: argparse.Namespace) -> None:
    sets: list[dict[str, Any]] = []
    with make_progress() as progress:
        for folder in options.folders:
            paths = image_paths(folder)[: options.limit]
            for scale in SCALES[1:]:
                task = progress.add_task(f"{folder.name}, {scale} times", total=len(paths))
                figures = measure(paths, options.bundle, scale, partial(progress.advance, task))
                sets.append({"set": folder.name, "scale": scale, "images": len(paths), **figures})
    about = {
        **describe_bundle(polyrestore.load(options.bundle)),
        "versions": describe_versions(),
        "compared": "BT.601 luma, rounded to 8 bits, a border as wide as the scale left out; PSNR in dB",
    }
    write_results(options, {"about": about, "sets": sets}, as_page(about, sets))
    print(as_page(about, sets))


def measure(paths: list[Path], bundle: str, scale: int, advance: Callable[[], None]) -> dict[str, float]:
    """Return the mean PSNR in dB over images of each way to enlarge."""
    ways = {
        "cubic": interpolated(CUBIC, scale),
        "lanczos": interpolated(LANCZOS, scale),
        "polyrestore": enlarged(bundle, scale),
    }
    protocol = Protocol(channels="y", crop_px=scale)
    values: dict[str, list[float]] = {way: [] for way in ways}
    for path in paths:
        with PillowImage.open(path) as opened:
            whole = opened.convert("RGB")
        small = (whole.width // scale, whole.height // scale)
        whole = whole.crop((0, 0, scale * small[0], scale * small[1]))
        reduced, target = whole.resize(small, CUBIC), as_pixels(whole)
        for way, enlarge in ways.items():
            values[way].append(psnr(enlarge(reduced), target, protocol))
        advance()
    return {way: round(mean_psnr(each), 3) for way, each in values.items()}


def as_page(about: dict[str, Any], sets: list[dict[str, Any]]) -> str:
    columns = ("set", "images", "scale", "cubic", "lanczos", "polyrestore")
    rows = [
        (each["set"], str(each["images"]), str(each["scale"]), *(f"{each[way]:.2f}" for way in columns[3:]))
        for each in sets
    ]
    lines = ["# Enlarging", "", *(f"- {key}: {value}" for key, value in about.items()), ""]
    return "\n".join([*lines, *markdown_table(columns, rows)]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
