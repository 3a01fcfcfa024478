"""What was measured, to look at: sheets of the best, the median and the worst image, and plots."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from polyrestore.evaluation.measure import middle_of
from polyrestore.evaluation.metrics import Protocol
from polyrestore.evaluation.results import SetResult
from polyrestore.evaluation.scores import METRICS, cell, leading, merit
from polyrestore.evaluation.sets import EvaluationImage, EvaluationSet
from polyrestore.imaging.sheets import Panel, encode_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ERROR_GAIN = 4
"""How many times as strong as they are errors are shown."""


def sheet_name(number: int, restorer: str, result: SetResult) -> str:
    """Return the name of the PNG file for the sheet of a set, numbered by what restored it."""
    return re.sub(r"[^\w.-]+", "-", f"{number}-{Path(restorer).name}-{result.name}") + ".png"


def encode_results(
    evaluation_set: EvaluationSet,
    result: SetResult,
    restored: Callable[[int, EvaluationImage], Tensor],
    protocol: Protocol,
) -> bytes:
    """Return a PNG sheet: the best, the median and the worst image before, after, as they are, and the error.

    Args:
        evaluation_set: what was measured.
        result: the figures, by which the three are chosen; fewer where there are fewer images.
        restored: gives the restored image (3, H, W) in [0, 1] of what a place in the set holds: what the
            protocol compares of it, or the whole.
        protocol: by which was measured.
    """
    ranked = sorted(range(len(result.images)), key=lambda index: -merit(result.images[index].blind))
    chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    rows: list[list[Panel]] = []
    for title, index in chosen.items():
        if index in list(chosen.values())[: len(rows)]:
            continue
        whole, figures = evaluation_set.image(index), result.images[index]
        sample = middle_of(whole, protocol)
        after = protocol.middle(restored(index, whole).cpu())
        error = ((after - sample.target).abs() * ERROR_GAIN).clamp(0, 1)
        rows.append(
            [
                Panel(f"{title}: {sample.name}, {cell(figures.before)}", sample.degraded),
                Panel(f"restored, {cell(figures.blind)}", after),
                Panel("truth", sample.target),
                Panel(f"error, {ERROR_GAIN} times", error),
            ]
        )
    return encode_sheet(rows)


def draw_plots(measured: Mapping[str, Sequence[SetResult]]) -> dict[str, bytes] | None:
    """Return plots as PNG files by name, or None where matplotlib is not installed.

    Args:
        measured: by what restored the images, one result per set, the same sets for all.

    Returns:
        ``means.png``, bars of the mean figure on each set, and ``images.png``, each image before and after.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    plots = {"means.png": _draw_means, "images.png": _draw_images}
    return {name: _encoded(draw(Figure, measured)) for name, draw in plots.items()}


def _draw_means(figure: type[Figure], measured: Mapping[str, Sequence[SetResult]]) -> Figure:
    sets = next(iter(measured.values()))
    drawn = figure(figsize=(2 + 1.2 * len(sets), 4), layout="constrained")
    axes = drawn.subplots()
    shown = leading(sets[0].before)
    heights = {"input": [result.before[shown] for result in sets]}
    heights |= {
        Path(name).name: [result.blind[shown] for result in results] for name, results in measured.items()
    }
    width = 0.8 / len(heights)
    for place, (name, values) in enumerate(heights.items()):
        axes.bar([index + place * width for index in range(len(sets))], values, width, label=name)
    axes.set_xticks([index + 0.4 - width / 2 for index in range(len(sets))])
    axes.set_xticklabels([result.name for result in sets], rotation=20, ha="right")
    axes.set_ylabel(METRICS[shown].heading)
    axes.legend()
    return drawn


def _draw_images(figure: type[Figure], measured: Mapping[str, Sequence[SetResult]]) -> Figure:
    drawn = figure(figsize=(5, 5), layout="constrained")
    axes = drawn.subplots()
    shown = leading(next(iter(measured.values()))[0].before)
    cap, title = METRICS[shown].cap, METRICS[shown].heading
    for name, results in measured.items():
        images = [image for result in results for image in result.images]
        before = [min(image.before[shown], cap) for image in images]
        after = [min(image.blind[shown], cap) for image in images]
        axes.scatter(before, after, s=12, label=Path(name).name)
    low, high = axes.get_xlim()
    axes.axline((low, low), (high, high), color="grey", linewidth=1)
    axes.set_xlabel(f"{title}, input")
    axes.set_ylabel(f"{title}, restored")
    axes.legend()
    return drawn


def _encoded(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()
