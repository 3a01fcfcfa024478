"""What was measured, as tables: for the terminal, a page, a spreadsheet, a paper and other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from polyrestore.evaluation.comparison import PairedDifference
from polyrestore.evaluation.published import PublishedFigure
from polyrestore.evaluation.report import as_json, markdown_table
from polyrestore.evaluation.results import SetResult
from polyrestore.evaluation.scores import cell, heading

_LATEX_SPECIAL = {
    character: f"\\{character}" for character in "&%$#_{}"
} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}  # fmt: skip


Measured = Mapping[str, Sequence[SetResult]]
"""By what restored the images, one result per set, the same sets for all."""
Published = Mapping[str, Sequence[PublishedFigure]]
"""By the name of a set; sets about which nothing is known are not there."""


def metrics_of(measured: Measured) -> tuple[str, ...]:
    """Return the metrics that were computed, which are the same for all."""
    return next(iter(measured.values()))[0].metrics


def headings() -> tuple[str, ...]:
    """Return the names of the columns of :func:`table_rows`."""
    return ("set", "images", "restored by", "input", "blind", "named", "recognised", "left alone")


def table_rows(measured: Measured) -> list[tuple[str, ...]]:
    """Return one row of cells for each set and restorer, the restorers of a set below each other."""
    rows: list[tuple[str, ...]] = []
    for results in zip(*measured.values(), strict=True):
        for restorer, result in zip(measured, results, strict=True):
            weights = ", ".join(f"{name} {weight:.2f}" for name, weight in result.weights.items())
            named = "" if result.named is None else cell(result.named)
            rows.append(
                (
                    result.name,
                    str(len(result.images)),
                    restorer,
                    cell(result.before),
                    cell(result.blind),
                    named,
                    weights,
                    f"{result.untouched_share:.0%}" if result.restored_here else "",
                )
            )
    return rows


def as_record(
    measured: Measured,
    differences: Sequence[PairedDifference],
    about: Mapping[str, Any],
    published: Published,
) -> dict[str, Any]:
    """Return everything as plain JSON values.

    Args:
        measured: the results.
        differences: between the restorers.
        about: the protocol, and what else was measured with.
        published: what others have published about the sets.
    """
    return {
        "about": dict(about),
        "restorers": {name: as_json(results, {})["sets"] for name, results in measured.items()},
        "differences": [asdict(difference) for difference in differences],
        "published": {name: [figure.model_dump() for figure in each] for name, each in published.items()},
    }


def as_page(
    measured: Measured,
    differences: Sequence[PairedDifference],
    about: Mapping[str, Any],
    published: Published,
) -> str:
    """Return a Markdown page; arguments as for :func:`as_record`."""
    lines = ["# Evaluation", "", *(f"- {key}: {value}" for key, value in about.items()), ""]
    lines += markdown_table(headings(), table_rows(measured))
    lines += [
        "",
        f"Each figure is {heading(metrics_of(measured))}, the mean over images.",
        "*blind* is restored with the composition that was recognised, or is what was given as a result;",
        "*named* is restored with the degradation given by name.",
        "",
    ]
    lines += [f"- {difference.sentence}" for difference in differences]
    if published:
        lines += ["", "Published, in dB of PSNR by the same protocol:", ""]
        lines += markdown_table(
            ("set", "method", "PSNR in dB", "source"),
            [
                (name, figure.method, f"{figure.psnr:.2f}", figure.source)
                for name, figures in published.items()
                for figure in figures
            ],
        )
    return "\n".join(lines).rstrip() + "\n"


def as_csv(measured: Measured) -> str:
    """Return one line per restorer, set and image, with every metric before and after.

    Args:
        measured: the results.
    """
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    metrics = metrics_of(measured)
    figures = [f"{metric}_{when}" for metric in metrics for when in ("input", "blind", "named")]
    writer.writerow(["restorer", "set", "image", *figures, "weights"])
    for restorer, sets in measured.items():
        for result in sets:
            for image in result.images:
                scores = (image.before, image.blind, image.named)
                row = ["" if score is None else score[metric] for metric in metrics for score in scores]
                weights = " ".join(f"{name}={weight:.3f}" for name, weight in image.weights.items())
                writer.writerow([restorer, result.name, image.name, *row, weights])
    return written.getvalue()


def as_latex(measured: Measured, published: Published) -> str:
    """Return the rows of a LaTeX table: a restorer each, its blind figures on every set behind each other.

    What was published comes before, with nothing where it is not known.

    Args:
        measured: the results.
        published: what others have published about the sets.
    """
    sets = next(iter(measured.values()), ())
    lines = [f"% {heading(metrics_of(measured))}"]
    lines += ["% " + " & ".join(["restorer", *(_escaped(result.name) for result in sets)]) + r" \\"]
    inputs = [cell(result.before) for result in sets]
    lines.append(" & ".join(["input", *inputs]) + r" \\")
    for method in dict.fromkeys(figure.method for figures in published.values() for figure in figures):
        cells = [_published_cell(published.get(result.name, ()), method, result.metrics) for result in sets]
        lines.append(" & ".join([_escaped(method), *cells]) + r" \\ % published")
    for restorer, results in measured.items():
        cells = [cell(result.blind) for result in results]
        lines.append(" & ".join([_escaped(restorer), *cells]) + r" \\")
    return "\n".join(lines) + "\n"


def _published_cell(figures: Sequence[PublishedFigure], method: str, metrics: Sequence[str]) -> str:
    known = {figure.method: f"{figure.psnr:.2f}" for figure in figures}
    return " / ".join(known.get(method, "--") if metric == "psnr" else "--" for metric in metrics)


def _escaped(text: str) -> str:
    return "".join(_LATEX_SPECIAL.get(character, character) for character in text)
