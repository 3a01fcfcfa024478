"""Search how a bundle's recognition should become weights, on photographs that are held back for tuning.

Every single degradation at three severities and every named mixture is restored under each combination of
the settings that matter for the bundle's activation. Prints the best ones by mean PSNR, singles and mixtures
counting half each, and writes all of them as JSON. Weights are rounded to tenths, so that few networks are
run. What is chosen goes into the bundle by ``scripts/ship_bundle.py --setting``.

    python benchmarks/settings.py --data FOLDER [--bundle NAME] [--limit N]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import torch
from rich.progress import track

import polyrestore
from polyrestore.cli.show import error_line, print_table
from polyrestore.data.images import image_paths, load_pixels
from polyrestore.data.mixture_sets import centre_crop, damaged_alike
from polyrestore.degradations import DEGRADATIONS, MIXTURES
from polyrestore.errors import PolyrestoreError
from polyrestore.evaluation.composition_runs import CompositionRuns
from polyrestore.evaluation.metrics import Protocol, mean_psnr
from polyrestore.evaluation.sets import Sample
from polyrestore.files import write_text
from polyrestore.recognition import RecognitionSettings, weigh_similarities
from polyrestore.restoration.restorer import Restorer

HERE = Path(__file__).resolve().parent
PROTOCOL = Protocol(window="uniform")
SEVERITIES = (0.25, 0.5, 0.75)
SEARCHED = {
    "softmax": {
        "saturation": (1.0, 0.6, 0.4, 0.3, 0.2, 0.1),
        "minimum_share": (0.06, 0.09, 0.12, 0.16, 0.2, 0.25),
        "temperature": (0.1, 0.15, 0.2),
    },
    # A sigmoid's temperature and least share do the same.
    "sigmoid": {
        "saturation": (1.0, 0.8, 0.5, 0.2),
        "minimum_share": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
        "top_k": (2, 3, 4),
    },
}
SHOWN = 12


@dataclass(frozen=True)
class Damaged:
    """One set: its name, whether it is a mixture, and its images."""

    name: str
    mixture: bool
    samples: list[Sample]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of clean photographs, not of a test set"
    )
    parser.add_argument("--bundle", default="default", help="shipped bundle, or a bundle's folder")
    parser.add_argument("--limit", type=int, default=6, help="the first N photographs")
    parser.add_argument("--crop-px", type=int, default=192, help="centre of each that is used")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder for the JSON")
    options = parser.parse_args(arguments)
    try:
        restorer = polyrestore.load(options.bundle)
        found = search(restorer, damaged_sets(options.data, options.limit, options.crop_px))
    except PolyrestoreError as error:
        error_line(str(error))
        return 1
    own = restorer.recognition_settings
    searched = tuple(SEARCHED[own.activation])
    heading = (*searched, "all", "singles", "mixtures")
    print_table(heading, [[f"{value:g}" for value in row] for row in found[:SHOWN]])
    own_values = tuple(getattr(own, name) for name in searched)
    current = [row for row in found if row[: len(searched)] == own_values]
    as_it_is = [f"{value:g}" for value in current[0][len(searched) :]] if current else ["not in the search"]
    print("as it is:", *as_it_is)
    content = {"bundle": restorer.bundle.name, "columns": heading, "rows": found}
    write_text(options.output / f"settings-{restorer.bundle.name}.json", json.dumps(content) + "\n")
    return 0


def damaged_sets(folder: Path, limit: int, crop_px: int) -> list[Damaged]:
    """Damage photographs by each degradation alone, and by each named mixture."""
    photographs = [
        (path.stem, centre_crop(load_pixels(path).float() / 255, crop_px))
        for path in image_paths(folder)[:limit]
    ]

    def samples(severities: Sequence[dict[str, float]]) -> list[Sample]:
        return [
            Sample(stem, damaged_alike(target, severities[index % len(severities)], stem), target)
            for index, (stem, target) in enumerate(photographs)
        ]

    singles = [Damaged(name, False, samples([{name: s} for s in SEVERITIES])) for name in DEGRADATIONS]
    return singles + [
        Damaged(each.name, True, samples([dict(each.severities)])) for each in MIXTURES.values()
    ]


def search(restorer: Restorer, sets: Sequence[Damaged]) -> list[tuple[float, ...]]:
    """Return the settings and their mean PSNR in dB over all sets, singles and mixtures; best first."""
    own = restorer.recognition_settings
    searched = SEARCHED[own.activation]
    changes = [dict(zip(searched, values, strict=True)) for values in product(*searched.values())]
    choices = [replace(own, **change) for change in changes]
    means: dict[bool, list[list[float]]] = {False: [], True: []}
    for each in track(sets, description="restoring"):
        runs = CompositionRuns(restorer, each.samples, PROTOCOL)
        similarities = [restorer.recognise(sample.degraded).similarities for sample in each.samples]
        means[each.mixture].append([mean_under(runs, similarities, choice) for choice in choices])
    singles, mixtures = (torch.tensor(means[key]).mean(0).tolist() for key in (False, True))
    rows = [
        (*change.values(), round((s + m) / 2, 3), round(s, 3), round(m, 3))
        for change, s, m in zip(changes, singles, mixtures, strict=True)
    ]
    return sorted(rows, key=lambda row: -row[-3])


def mean_under(
    runs: CompositionRuns, similarities: Sequence[dict[str, float]], settings: RecognitionSettings
) -> float:
    """Return the mean PSNR in dB of a set under some settings, from similarities that are known already."""
    found = [_weights(each, settings) for each in similarities]
    return mean_psnr(runs.psnrs_each(found))


def _weights(similarities: dict[str, float], settings: RecognitionSettings) -> dict[str, float]:
    found = weigh_similarities(similarities, settings)
    return {name: round(weight, 1) or 0.05 for name, weight in found.weights.items()}


if __name__ == "__main__":
    sys.exit(main())
