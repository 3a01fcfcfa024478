"""Two restorations of the same images: by how much one is better, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polyrestore.errors import DataError
from polyrestore.evaluation.results import SetResult
from polyrestore.evaluation.scores import METRICS

RESAMPLES = 10_000
_SEED = 0
_LEVELS = (2.5, 97.5)


@dataclass(frozen=True)
class PairedDifference:
    """By how much the second of two restorations is above the first, image by image.

    Attributes:
        first: what restored first.
        second: what restored second.
        data: the name of the set.
        metric: a key of :data:`~polyrestore.evaluation.scores.METRICS`.
        mean: the mean difference, second less first.
        low: the lower end of its 95 % bootstrap interval.
        high: the upper end.
        wins: on how many images the second is better.
        count: of images.
    """

    first: str
    second: str
    data: str
    metric: str
    mean: float
    low: float
    high: float
    wins: int
    count: int

    @property
    def is_clear(self) -> bool:
        """True when the interval does not hold zero."""
        return self.low > 0 or self.high < 0

    @property
    def sentence(self) -> str:
        """The difference in words, with its interval."""
        metric = METRICS[self.metric]
        unit = f" {metric.unit}" if metric.unit else ""
        direction = "" if metric.higher_is_better else " (lower is better)"
        low, high = (f"{value:+.{metric.digits}f}" for value in (self.low, self.high))
        return (
            f"{self.data}: {self.second} less {self.first} {self.mean:+.{metric.digits}f}{unit} "
            f"{metric.title}{direction}, 95 % interval {low} to {high}, better on {self.wins} of {self.count}"
            + ("" if self.is_clear else ", which may be chance")
        )


def compare_all(measured: Mapping[str, Sequence[SetResult]]) -> list[PairedDifference]:
    """Compare each restorer after the first one with the first, on every set.

    Args:
        measured: by what restored the images, one result per set, the same sets for all.

    Raises:
        DataError: two were not measured on the same images by the same protocol and metrics.
    """
    (base, figures), *others = measured.items()
    return [
        difference
        for name, results in others
        for pair in zip(figures, results, strict=True)
        for difference in paired_differences(*pair, first_name=base, second_name=name)
    ]


def paired_differences(
    first: SetResult, second: SetResult, *, first_name: str = "first", second_name: str = "second"
) -> list[PairedDifference]:
    """Compare what two restorers made blind of one test set, for each metric.

    The interval is of the mean over images drawn anew with replacement (Efron and Tibshirani, "An
    Introduction to the Bootstrap", 1993, percentile method), from the same draws every time. Figures above a
    metric's cap count as the cap.

    Args:
        first: what one restorer made of the set.
        second: what the other made of it.
        first_name: of the one.
        second_name: of the other.

    Raises:
        DataError: the two were not measured on the same images by the same protocol and metrics.
    """
    names = [[image.name for image in result.images] for result in (first, second)]
    if names[0] != names[1] or first.protocol != second.protocol or first.metrics != second.metrics:
        raise DataError(f"the two results of {first.name!r} are not of the same images, protocol and metrics")
    generator = np.random.default_rng(_SEED)
    drawn = generator.integers(len(names[0]), size=(RESAMPLES, len(names[0])))
    compared = []
    for name in first.metrics:
        metric = METRICS[name]
        figures = [
            np.array([min(image.blind[name], metric.cap) for image in result.images])
            for result in (first, second)
        ]
        differences = figures[1] - figures[0]
        low, high = np.percentile(differences[drawn].mean(axis=1), _LEVELS)
        better = differences > 0 if metric.higher_is_better else differences < 0
        compared.append(
            PairedDifference(
                first=first_name,
                second=second_name,
                data=first.name,
                metric=name,
                mean=float(differences.mean()),
                low=float(low),
                high=float(high),
                wins=int(better.sum()),
                count=len(differences),
            )
        )
    return compared
