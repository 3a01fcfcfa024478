"""The table of metrics, and scores, which have a figure for each metric that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from torch import Tensor

from polyrestore.errors import (
    DataError,
    MetricUnavailableError,
    NotationError,
    UnknownMetricError,
    unknown_name,
)
from polyrestore.evaluation.learned import ALEXNET_FILE, VGG16_FILE, dists, lpips, missing_for
from polyrestore.evaluation.metrics import PSNR_CAP_DB, Protocol, json_number, ms_ssim, psnr, ssim
from polyrestore.notation import read_names
from polyrestore.registries import Registry

Score: TypeAlias = Mapping[str, float]
"""Figures by metric, in the order in which the metrics were asked for. Scores are ordered by the first."""


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Metric:
    """A figure of merit of an image beside its target.

    Attributes:
        title: as it stands in tables.
        unit: of the figure; empty for a pure number.
        digits: how many are shown behind the point.
        higher_is_better: the direction.
        figure: compares an image with its target, (3, H, W) in [0, 1] each, by a protocol.
        range: the least and the largest figure that there can be.
        cap: what a larger figure counts as in a mean; without one, an image that equals its target would make
            a mean of decibels infinite.
        needs: of images and of the machine, in words; empty for nothing.
        missing: returns what of that is not on this machine, in words; None where nothing is missing.
    """

    title: str
    unit: str
    digits: int
    higher_is_better: bool
    figure: Callable[[Tensor, Tensor, Protocol], float]
    range: tuple[float, float] = (float("-inf"), float("inf"))
    cap: float = float("inf")
    needs: str = ""
    missing: Callable[[], str | None] = _nothing

    @property
    def heading(self) -> str:
        """The title with its unit and, where lower is better, its direction, in words."""
        with_unit = f"{self.title} in {self.unit}" if self.unit else self.title
        return with_unit if self.higher_is_better else f"{with_unit} (lower is better)"


_INFINITE = float("inf")
METRICS: Registry[Metric] = Registry(
    {
        "psnr": Metric("PSNR", "dB", 2, True, psnr, (0, _INFINITE), PSNR_CAP_DB),
        "ssim": Metric("SSIM", "", 3, True, ssim, (-1, 1), needs="images of a window's size at least"),
        "ms_ssim": Metric("MS-SSIM", "", 4, True, ms_ssim, (0, 1), needs="161 px a side, or 97 px uniform"),
        "lpips": Metric(
            "LPIPS",
            "",
            3,
            False,
            lpips,
            (0, _INFINITE),
            needs=f"64 px a side, torchvision and {ALEXNET_FILE}",
            missing=partial(missing_for, ALEXNET_FILE),
        ),
        "dists": Metric(
            "DISTS",
            "",
            3,
            False,
            dists,
            (0, 1),
            needs=f"64 px a side, torchvision and {VGG16_FILE}",
            missing=partial(missing_for, VGG16_FILE),
        ),
    }
)
DEFAULT_METRICS = ("psnr", "ssim")


def read_metrics(text: str) -> tuple[str, ...]:
    """Return the metrics that a text names, separated by commas, in its order.

    Raises:
        NotationError: it names none, or one twice, or says more than names.
        UnknownMetricError: there is no metric of a name.
        MetricUnavailableError: one needs what is not on this machine.
    """
    written = read_names(text)
    if not written or any(value is not None for value in written.values()):
        raise NotationError(f"metrics are names separated by commas, such as psnr,ssim, not {text!r}")
    for name in written:
        if name not in METRICS:
            raise unknown_name("metric", name, METRICS, UnknownMetricError)
        missing = METRICS[name].missing()
        if missing is not None:
            raise MetricUnavailableError(f"{METRICS[name].title} needs {missing}; nothing is downloaded")
    return tuple(written)


def score_of(
    image: Tensor, target: Tensor, protocol: Protocol, metrics: Iterable[str] = DEFAULT_METRICS
) -> Score:
    """Return the metrics' figures for an image beside its target, (3, H, W) in [0, 1] each.

    Raises:
        ProtocolError: the two differ in shape, or are too small for a metric or the protocol's crop.
    """
    return {name: METRICS[name].figure(image, target, protocol) for name in metrics}


def mean_score(scores: Sequence[Score]) -> Score:
    """Return the mean of each metric, with figures above its cap counted as the cap.

    Raises:
        DataError: there are no scores.
    """
    if not scores:
        raise DataError("no figures to average")
    return {
        name: sum(min(score[name], METRICS[name].cap) for score in scores) / len(scores) for name in scores[0]
    }


def leading(score: Score) -> str:
    """Return the metric that scores are ordered by: the first one."""
    return next(iter(score))


def merit(score: Score) -> float:
    """Return the figure that scores are ordered by, the higher the better."""
    name = leading(score)
    return score[name] if METRICS[name].higher_is_better else -score[name]


def heading(metrics: Iterable[str] = DEFAULT_METRICS) -> str:
    """Return what :func:`cell` shows of a score with these metrics, in words."""
    return " / ".join(METRICS[name].heading for name in metrics)


def cell(score: Score) -> str:
    """Return a score as it stands in a table."""
    return " / ".join(f"{value:.{METRICS[name].digits}f}" for name, value in score.items())


def score_as_json(score: Score) -> dict[str, float | str]:
    """Return a score as plain JSON values."""
    return {name: json_number(value) for name, value in score.items()}
