"""How well a bundle's recogniser tells degradations apart, and how well it leaves alone what is not damaged.

Photographs that are held back are damaged by each degradation once, at a random severity, and by random
pairs of them. Photographs labelled by eye show what is found of real damage. Drawn images, wanted looks and
clean photographs show what is said where nothing is wrong, and what it costs where an adapter acts.

    python -m benchmarks.recognition --data FOLDER [--labelled FOLDER ...] [--bundle NAME]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import polyrestore
from benchmarks.harness import make_parser, run_reported, write_results
from benchmarks.recognition_report import as_markdown
from polyrestore.data import load_clean
from polyrestore.data.images import load_pixels
from polyrestore.data.labelled import LabelledPhotograph, read_labelled
from polyrestore.data.looks import LOOKS, drop_colour, give_look
from polyrestore.data.negatives import NEGATIVES, draw_negative
from polyrestore.degradations import DEGRADATIONS, degrade
from polyrestore.recognition import CLEAN
from polyrestore.restoration.restorer import Restorer
from polyrestore.training.phases.recogniser import VALIDATION_SEVERITIES, damaged_copies

SEED = 7
DRAWINGS_OF_A_KIND = 5
# In decibels: what a clean image must keep, and what none may fall below.
KEPT_DB, LEAST_DB = 45.0, 35.0


def confusion(restorer: Restorer, images: list[Tensor]) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for truth in [*(name for name in DEGRADATIONS if name in restorer.adapters), CLEAN]:
        row: dict[str, float] = {}
        for image in damaged_copies(images, truth, SEED):
            weights = restorer.recognise(image[0]).weights
            seen = max(weights, key=weights.__getitem__) if weights else CLEAN
            row[seen] = row.get(seen, 0) + 1 / len(images)
        table[truth] = {
            name: round(share, 3) for name, share in sorted(row.items(), key=lambda item: -item[1])
        }
        print(f"{truth:15s}", table[truth], flush=True)
    return table


def mixtures(restorer: Restorer, images: list[Tensor], generator: torch.Generator) -> dict[str, float]:
    pairs = list(combinations([name for name in DEGRADATIONS if name in restorer.adapters], 2))
    both, one = 0, 0
    for index, pair in enumerate(pairs):
        pixels = images[index % len(images)][None].float() / 255
        severities = {name: 0.3 + 0.5 * float(torch.rand((), generator=generator)) for name in pair}
        found = set(restorer.recognise(degrade(pixels, severities, generator)[0]).weights) & set(pair)
        both += len(found) == 2
        one += len(found) == 1
    return {"pairs": len(pairs), "both": round(both / len(pairs), 3), "one": round(one / len(pairs), 3)}


def found_by_eye(
    restorer: Restorer, photographs: Sequence[LabelledPhotograph]
) -> dict[str, dict[str, list[int]]]:
    """Return by degradation and strength in how many labelled photographs it was found, and of how many."""
    table: dict[str, dict[str, list[int]]] = {}
    for photograph in photographs:
        if photograph.is_clean:
            continue
        acting = restorer.recognise(load_pixels(photograph.path).float() / 255).weights
        for name in photograph.labels & set(restorer.adapters):
            strength = "faint" if photograph.strength == "faint" else "clear or strong"
            count = table.setdefault(name, {}).setdefault(strength, [0, 0])
            count[0] += name in acting
            count[1] += 1
    for name, row in sorted(table.items()):
        print(f"{name:15s}", row, flush=True)
    return {name: table[name] for name in sorted(table)}


def other_font() -> str:
    """Return a font that nothing was trained with, where matplotlib has brought one."""
    try:
        from matplotlib import get_data_path
    except ImportError:
        return ""
    return str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSerif.ttf")


def clean_images(
    photographs: list[Tensor], labelled: Sequence[LabelledPhotograph], generator: torch.Generator
) -> Iterator[tuple[str, Tensor]]:
    """Yield images with which nothing is wrong, (3, H, W) in [0, 1], with their kind."""
    for pixels in photographs:
        yield "photographs", pixels.float() / 255
    for pixels in photographs[::4]:
        yield "photographs, grey", drop_colour(pixels[None].float() / 255)[0]
    for photograph in labelled:
        if photograph.is_clean:
            yield f"labelled: {photograph.kind}", load_pixels(photograph.path).float() / 255
    for index, name in enumerate(LOOKS):
        for pixels in photographs[index % 4 :: 4]:
            yield f"look: {name}", give_look(name, pixels[None].float() / 255, generator)[0]
    font = other_font()
    for name in NEGATIVES:
        for _ in range(DRAWINGS_OF_A_KIND):
            width, height = (int(torch.randint(160, 520, (), generator=generator)) for _ in range(2))
            yield f"drawn: {name}", draw_negative(name, width, height, generator, font)[0]


def harm(restorer: Restorer, images: Iterator[tuple[str, Tensor]]) -> dict[str, dict[str, Any]]:
    """Return what becomes of clean images, by kind.

    An image counts as kept above 45 dB to its input; ``acting`` counts the adapters that acted on one.
    """
    table: dict[str, dict[str, Any]] = {}
    for kind, image in images:
        row = table.setdefault(kind, {"images": 0, "alone": 0, "kept": 0, "least_db": None, "acting": {}})
        row["images"] += 1
        restored = restorer.restore(image)
        error = float((restored.pixels - image).square().mean())
        row["alone"] += not restored.weights
        psnr = None if error == 0 else round(-10 * float(torch.tensor(error).log10()), 2)
        row["kept"] += psnr is None or psnr >= KEPT_DB
        if psnr is not None:
            row["least_db"] = psnr if row["least_db"] is None else min(psnr, row["least_db"])
        for name in restored.weights:
            row["acting"][name] = row["acting"].get(name, 0) + 1
    for kind, row in table.items():
        print(f"{kind:25s}", row, flush=True)
    return table


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser(__doc__, "recognition")
    parser.add_argument("--data", type=Path, required=True, help="folder of clean photographs, held back")
    parser.add_argument(
        "--labelled", type=Path, action="append", default=[], help="folder with a labels.csv, held back"
    )
    return run_reported(partial(run, parser.parse_args(arguments)))


def run(options: argparse.Namespace) -> None:
    restorer = polyrestore.load(options.bundle)
    images = load_clean([options.data])
    labelled = [photograph for folder in options.labelled for photograph in read_labelled(folder)]
    generator = torch.Generator().manual_seed(SEED)
    content = {
        "bundle": restorer.bundle.name,
        "version": restorer.bundle.info.version,
        "images": len(images),
        "labelled": [folder.name for folder in options.labelled],
        "severities": VALIDATION_SEVERITIES,
        "kept_db": KEPT_DB,
        "least_db": LEAST_DB,
        "confusion": confusion(restorer, images),
        "mixtures": mixtures(restorer, images, generator),
        "by_eye": found_by_eye(restorer, labelled),
        "harm": harm(restorer, clean_images(images, labelled, generator)),
    }
    write_results(options, content, as_markdown(content))
    print(content["mixtures"])


if __name__ == "__main__":
    sys.exit(main())
