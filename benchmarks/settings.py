"""Search how a bundle's recognition should become weights, on photographs that are held back for tuning.

Every single degradation at three severities, every named mixture and the undamaged photographs, which should
be left alone, are restored under each combination of the settings that matter for the bundle's activation.
Each photograph is recognised as a whole, and its middle restored.
Prints the best ones by mean PSNR, singles and mixtures counting half each, then looks for a least share of
each adapter's own, and writes all as JSON. Weights are rounded to tenths, so that few networks are run. What
is chosen goes into the bundle by ``scripts/ship_bundle.py --setting``. Several bundles that have the same
adapters and one recogniser are searched together, for the settings that are best on average.

    python -m benchmarks.settings --data FOLDER [--bundle NAME]... [--limit N]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from rich.progress import track

import polyrestore
from benchmarks.arguments import positive
from polyrestore.cli.show import error_line, print_table
from polyrestore.data.images import image_paths, load_pixels
from polyrestore.data.mixture_sets import centre_crop, damaged_alike
from polyrestore.degradations import DEGRADATIONS, MIXTURES
from polyrestore.errors import PolyrestoreError, RecognitionError
from polyrestore.evaluation.composition_runs import CompositionRuns
from polyrestore.evaluation.metrics import Protocol, mean_psnr
from polyrestore.evaluation.sets import Sample
from polyrestore.files import write_text
from polyrestore.recognition import CLEAN, RecognitionSettings, weigh_similarities
from polyrestore.restoration.restorer import Restorer

HERE = Path(__file__).resolve().parent
PROTOCOL = Protocol(window="uniform")
SEVERITIES = (0.25, 0.5, 0.75)
SEARCHED: dict[str, dict[str, tuple[Any, ...]]] = {
    "softmax": {
        "saturation": (1.0, 0.6, 0.4, 0.3, 0.2, 0.1),
        "minimum_share": (0.06, 0.09, 0.12, 0.16, 0.2, 0.25),
        "temperature": (0.1, 0.15, 0.2),
    },
    # A sigmoid's temperature and least share do the same.
    "sigmoid": {
        "normalisation": ("max", "none"),
        "saturation": (1.0, 0.7, 0.5, 0.3),
        "minimum_share": (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95),
        "clean_threshold": (0.3, 0.5, 0.8),
    },
}
SHOWN = 12
# What is better cannot be seen: it bounds what an undamaged photograph counts.
HIGHEST_PSNR = 45.0
# In dB of the mean: what is less may well be chance.
LEAST_GAIN = 0.01


@dataclass(frozen=True)
class Damaged:
    """One set: its name, the middle of each image to restore, and the similarities of the whole images."""

    name: str
    runs: CompositionRuns
    similarities: list[dict[str, float]]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of clean photographs, not of a test set"
    )
    parser.add_argument("--bundle", action="append", help="shipped bundle or folder; may be repeated")
    parser.add_argument("--limit", type=positive, default=32, help="the first N photographs")
    parser.add_argument("--crop-px", type=positive, default=192, help="centre of each that is restored")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder for the JSON")
    options = parser.parse_args(arguments)
    try:
        restorers = [polyrestore.load(name) for name in options.bundle or ["default"]]
        require_alike(restorers)
        sets = damaged_sets(restorers, options.data, options.limit, options.crop_px)
    except PolyrestoreError as error:
        error_line(str(error))
        return 1
    search = Search(restorers[0].adapters, sets)
    own = restorers[0].recognition_settings
    searched = SEARCHED[own.activation]
    names = tuple(searched)

    def shared(values: Sequence[Any]) -> RecognitionSettings:
        """Return settings with these values of what is searched, and the same least share for all."""
        return replace(own, **dict(zip(names, values, strict=True)), minimum_shares={})

    rows: list[tuple[Any, ...]] = []
    for values in track(list(product(*searched.values())), description="restoring"):
        found = search.figures(shared(values))
        rows.append((*values, *(round(figure, 3) for figure in found)))
    rows.sort(key=lambda row: -row[len(names)])
    heading = (*names, "all", "singles", "mixtures")
    print_table(
        heading,
        [[f"{value}" for value in row] for row in rows[:SHOWN]],
    )
    print("as it is:", *(f"{figure:.3f}" for figure in search.figures(own)))
    # The search for single shares ends where it no longer gains, so it starts from several places.
    by_share = {row[names.index("minimum_share")]: row for row in reversed(rows)}
    starts = [shared(row[: len(names)]) for row in by_share.values()]
    ends = [search.best_shares(start) for start in track(starts, description="least shares")]
    best = max(ends, key=lambda end: search.figures(end)[0])
    print("with shares of their own:", *(f"{figure:.3f}" for figure in search.figures(best)))
    changed = {name: getattr(best, name) for name in (*names, "minimum_shares")}
    print(*(f"--setting '{name}={json.dumps(value)}'" for name, value in changed.items()))
    bundles = [restorer.bundle.name for restorer in restorers]
    content = {"bundles": bundles, "columns": heading, "rows": rows, "best": changed}
    write_text(options.output / f"settings-{'-'.join(bundles)}.json", json.dumps(content) + "\n")
    return 0


def require_alike(restorers: Sequence[Restorer]) -> None:
    """Refuse bundles that cannot be searched together: what is recognised by one has to be true of all."""
    first, *others = (restorer.bundle for restorer in restorers)
    for other in others:
        same = first.prototypes.keys() == other.prototypes.keys() and all(
            prototype.equal(other.prototypes[name]) for name, prototype in first.prototypes.items()
        )
        if not same or first.adapters.keys() != other.adapters.keys():
            raise RecognitionError(
                f"{first.name} and {other.name} do not have the same adapters and one recogniser; "
                "search them one by one"
            )


def damaged_sets(restorers: Sequence[Restorer], folder: Path, limit: int, crop_px: int) -> list[Damaged]:
    """Damage photographs by each degradation alone, by nothing, and by each named mixture.

    Returns a set of each for every restorer; they are recognised by the first alone.
    """
    photographs = [(path.stem, load_pixels(path).float() / 255) for path in image_paths(folder)[:limit]]

    def damaged(name: str, severities: Sequence[dict[str, float]]) -> list[Damaged]:
        samples, similarities = [], []
        for index, (stem, clean) in enumerate(photographs):
            whole = damaged_alike(clean, severities[index % len(severities)], stem)
            similarities.append(restorers[0].recognise(whole).similarities)
            samples.append(Sample(stem, centre_crop(whole, crop_px), centre_crop(clean, crop_px)))
        runs = [CompositionRuns(restorer, samples, PROTOCOL) for restorer in restorers]
        return [Damaged(name, each, similarities) for each in runs]

    singles = {name: [{name: severity} for severity in SEVERITIES] for name in DEGRADATIONS}
    mixtures = {name: [dict(mixture.severities)] for name, mixture in MIXTURES.items()}
    sets = {**singles, CLEAN: [{}], **mixtures}
    named = track(list(sets.items()), description="recognising")
    return [each for entry in named for each in damaged(*entry)]


@dataclass(frozen=True)
class Search:
    """What the settings of a restorer are worth on some sets, each composition restored once.

    Attributes:
        adapters: of the restorer, whose settings are searched.
        sets: what it is measured on.
    """

    adapters: Sequence[str]
    sets: Sequence[Damaged]

    def figures(self, settings: RecognitionSettings) -> tuple[float, float, float]:
        """Return the mean PSNR in dB of singles and mixtures, which count half each, and of either."""
        means: dict[bool, list[float]] = {False: [], True: []}
        for each in self.sets:
            weights = [_weights(one, settings) for one in each.similarities]
            found = [min(value, HIGHEST_PSNR) for value in each.runs.psnrs_each(weights)]
            means[each.name in MIXTURES].append(mean_psnr(found))
        singles, mixtures = mean_psnr(means[False]), mean_psnr(means[True])
        return (singles + mixtures) / 2, singles, mixtures

    def best_shares(self, settings: RecognitionSettings) -> RecognitionSettings:
        """Change the least share of one adapter after the other as long as that gains ``LEAST_GAIN``."""
        best = self.figures(settings)[0]
        for name in [*self.adapters, *self.adapters]:
            for share in SEARCHED[settings.activation]["minimum_share"]:
                changed = replace(settings, minimum_shares={**settings.minimum_shares, name: share})
                found = self.figures(changed)[0]
                if found >= best + LEAST_GAIN:
                    best, settings = found, changed
        return settings


def _weights(similarities: dict[str, float], settings: RecognitionSettings) -> dict[str, float]:
    found = weigh_similarities(similarities, settings)
    return {name: round(weight, 1) or 0.05 for name, weight in found.weights.items()}


if __name__ == "__main__":
    sys.exit(main())
