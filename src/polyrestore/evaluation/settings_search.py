"""How a bundle's recognition should become weights, searched on photographs that are held back for tuning.

Every single degradation at three severities, every named mixture and the undamaged photographs, which should
be left alone, are restored under the settings in question. Each photograph is recognised as a whole, and its
middle restored. Weights are rounded to tenths, so that few networks are run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polyrestore.data.images import image_paths, load_pixels
from polyrestore.data.mixture_sets import centre_crop, damaged_alike
from polyrestore.degradations import DEGRADATIONS, MIXTURES
from polyrestore.errors import RecognitionError
from polyrestore.evaluation.composition_runs import CompositionRuns
from polyrestore.evaluation.metrics import Protocol, mean_psnr
from polyrestore.evaluation.sets import EvaluationImage
from polyrestore.recognition import CLEAN, RecognitionSettings, weigh_similarities
from polyrestore.restoration.restorer import Restorer

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
# What is better cannot be seen: it bounds what an undamaged photograph counts.
HIGHEST_PSNR = 45.0
# In dB of the mean: what is less may well be chance.
LEAST_GAIN = 0.01
# A set's name, and the severities that its photographs are damaged with in turn.
Named = tuple[str, list[dict[str, float]]]


@dataclass(frozen=True)
class Damaged:
    """One set: its name, the middle of each image to restore, and the similarities of the whole images."""

    name: str
    runs: CompositionRuns
    similarities: list[dict[str, float]]


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


def damaged_sets(
    restorers: Sequence[Restorer],
    folder: Path,
    limit: int,
    crop_px: int,
    progress: Callable[[list[Named]], Iterable[Named]] = iter,
) -> list[Damaged]:
    """Damage photographs by each degradation alone, by nothing, and by each named mixture.

    Args:
        restorers: they are to restore the photographs; the first one recognises them for all.
        folder: of the clean photographs.
        limit: how many of them, in the order of their names.
        crop_px: side of the middle that is restored.
        progress: given what is to be made, hands it out again one by one, and may show how far it is.

    Returns:
        each set once for every restorer.

    Raises:
        DataError: the folder is missing or holds no images.
    """
    photographs = [(path.stem, load_pixels(path).float() / 255) for path in image_paths(folder)[:limit]]

    def damaged(name: str, severities: Sequence[dict[str, float]]) -> list[Damaged]:
        samples, similarities = [], []
        for index, (stem, clean) in enumerate(photographs):
            whole = damaged_alike(clean, severities[index % len(severities)], stem)
            similarities.append(restorers[0].recognise(whole).similarities)
            samples.append(EvaluationImage(stem, centre_crop(whole, crop_px), centre_crop(clean, crop_px)))
        runs = [CompositionRuns(restorer, samples, PROTOCOL) for restorer in restorers]
        return [Damaged(name, each, similarities) for each in runs]

    adapted = [name for name in DEGRADATIONS if name in restorers[0].adapters]
    singles = {name: [{name: severity} for severity in SEVERITIES] for name in adapted}
    mixtures = {name: [dict(mixture.severities)] for name, mixture in MIXTURES.items()}
    sets: dict[str, list[dict[str, float]]] = {**singles, CLEAN: [{}], **mixtures}
    return [each for entry in progress(list(sets.items())) for each in damaged(*entry)]


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
