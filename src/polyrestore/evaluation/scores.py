"""The table of metrics, and what they say about an image: a score has a figure for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from polyrestore.errors import DataError
from polyrestore.evaluation.metrics import PSNR_CAP_DB, Protocol, json_number, psnr, ssim

Score: TypeAlias = Mapping[str, float]
"""Figures by metric, in the order of :data:`METRICS`."""


@dataclass(frozen=True)
class Metric:
    """A figure of merit of an image beside its target.

    Attributes:
        title: as it stands in tables.
        unit: of the figure; empty for a pure number.
        digits: how many are shown behind the point.
        higher_is_better: the direction.
        figure: compares an image with its target, (3, H, W) in [0, 1] each, by a protocol.
        cap: what a larger figure counts as in a mean; without one, an image that equals its target would make
            a mean of decibels infinite.
    """

    title: str
    unit: str
    digits: int
    higher_is_better: bool
    figure: Callable[[Tensor, Tensor, Protocol], float]
    cap: float = float("inf")

    @property
    def heading(self) -> str:
        """The title with its unit, in words."""
        return f"{self.title} in {self.unit}" if self.unit else self.title


METRICS: dict[str, Metric] = {
    "psnr": Metric("PSNR", "dB", 2, True, psnr, cap=PSNR_CAP_DB),
    "ssim": Metric("SSIM", "", 3, True, ssim),
}
LEADING = "psnr"


def score_of(image: Tensor, target: Tensor, protocol: Protocol) -> Score:
    """Return every metric's figure for an image beside its target, (3, H, W) in [0, 1] each.

    Raises:
        ProtocolError: the two differ in shape, or are too small for a metric or the protocol's crop.
    """
    return {name: metric.figure(image, target, protocol) for name, metric in METRICS.items()}


def mean_score(scores: Sequence[Score]) -> Score:
    """Return the mean of each metric, with figures above its cap counted as the cap.

    Raises:
        DataError: there are no scores.
    """
    if not scores:
        raise DataError("no figures to average")
    return {
        name: sum(min(score[name], metric.cap) for score in scores) / len(scores)
        for name, metric in METRICS.items()
    }


def merit(score: Score) -> float:
    """Return the figure that scores are ordered by, the higher the better."""
    value = score[LEADING]
    return value if METRICS[LEADING].higher_is_better else -value


def heading() -> str:
    """Return what :func:`cell` shows, in words."""
    return " / ".join(metric.heading for metric in METRICS.values())


def cell(score: Score) -> str:
    """Return a score as it stands in a table."""
    return " / ".join(f"{score[name]:.{metric.digits}f}" for name, metric in METRICS.items())


def score_as_json(score: Score) -> dict[str, float | str]:
    """Return a score as plain JSON values."""
    return {name: json_number(value) for name, value in score.items()}
