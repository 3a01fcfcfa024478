"""How well a bundle's recogniser tells degradations apart: a confusion table on held-back photographs.

Every photograph is damaged by each degradation once, at a random severity, and by random pairs of them. The
table shows which adapter gets the largest weight; "clean" means that the image is left alone.

    python -m benchmarks.recognition --data FOLDER [--bundle NAME]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import torch

import polyrestore
from polyrestore.cli.show import error_line
from polyrestore.data import load_clean
from polyrestore.degradations import DEGRADATIONS, degrade
from polyrestore.errors import PolyrestoreError
from polyrestore.files import write_text
from polyrestore.recognition import CLEAN
from polyrestore.restoration.restorer import Restorer
from polyrestore.training.phases.recogniser import VALIDATION_SEVERITIES, damaged_copies

HERE = Path(__file__).resolve().parent
SEED = 7


def confusion(restorer: Restorer, images: list[torch.Tensor]) -> dict[str, dict[str, float]]:
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


def mixtures(restorer: Restorer, images: list[torch.Tensor], generator: torch.Generator) -> dict[str, float]:
    pairs = list(combinations([name for name in DEGRADATIONS if name in restorer.adapters], 2))
    both, one = 0, 0
    for index, pair in enumerate(pairs):
        pixels = images[index % len(images)][None].float() / 255
        severities = {name: 0.3 + 0.5 * float(torch.rand((), generator=generator)) for name in pair}
        found = set(restorer.recognise(degrade(pixels, severities, generator)[0]).weights) & set(pair)
        both += len(found) == 2
        one += len(found) == 1
    return {"pairs": len(pairs), "both": round(both / len(pairs), 3), "one": round(one / len(pairs), 3)}


def as_markdown(content: Mapping[str, Any]) -> str:
    table, pairs, (low, high) = content["confusion"], content["mixtures"], content["severities"]
    names = list(table)
    bundle = f"Bundle {content['bundle']}, version {content['version']}"
    lines = [
        "# Recognition",
        "",
        f"{bundle}; {content['images']} held-back photographs,",
        f"severity {low} to {high}. Rows: what was done; columns: the adapter with the largest weight;",
        "clean: left alone.",
        "",
        "| | " + " | ".join(names) + " |",
        "|---|" + "---:|" * len(names),
    ]
    for truth, row in table.items():
        cells = [f"{row[name]:.2f}" if name in row else "" for name in names]
        lines.append(f"| **{truth}** | " + " | ".join(cells) + " |")
    mean = sum(row.get(truth, 0) for truth, row in table.items()) / len(table)
    lines += [
        "",
        f"Mean of the diagonal: {mean:.3f}. Clean photographs left alone: {table[CLEAN].get(CLEAN, 0):.3f}.",
        f"Of {pairs['pairs']:.0f} pairs of degradations both get a weight in {pairs['both']:.0%}, "
        f"one of them in {pairs['one']:.0%}.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of clean photographs, held back")
    parser.add_argument("--bundle", default="default", help="shipped bundle or folder")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder for JSON and Markdown")
    options = parser.parse_args(arguments)
    try:
        restorer = polyrestore.load(options.bundle)
        images = load_clean([options.data])
        content = {
            "bundle": restorer.bundle.name,
            "version": restorer.bundle.info.version,
            "images": len(images),
            "severities": VALIDATION_SEVERITIES,
            "confusion": confusion(restorer, images),
            "mixtures": mixtures(restorer, images, torch.Generator().manual_seed(SEED)),
        }
        write_text(options.output / "recognition.json", json.dumps(content, indent=2) + "\n")
        write_text(options.output / "recognition.md", as_markdown(content))
    except PolyrestoreError as error:
        error_line(str(error))
        return 1
    print(content["mixtures"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
