"""Measured sets as JSON and as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polyrestore.evaluation.metrics import PSNR_CAP_DB
from polyrestore.evaluation.results import SetResult, image_as_json
from polyrestore.evaluation.scores import cell, heading, score_as_json

_HEADINGS = (
    "set",
    "images",
    "input",
    "blind",
    "named",
    "best single adapter",
    "recognised",
    "left alone",
    "s / megapixel",
    "other tools",
)


def as_json(results: Sequence[SetResult], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return results as plain JSON values.

    Args:
        results: one per set.
        about: what was measured and with what: bundle, versions, device.
    """
    return {"about": dict(about), "sets": [_set_as_json(result) for result in results]}


def as_rows(results: Sequence[SetResult], peers: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return one row of table cells per set, in the order of :func:`headings`.

    Args:
        results: one per set.
        peers: what other tools reach, by set name.
    """
    return [_row(result, peers.get(result.name, "")) for result in results]


def headings() -> tuple[str, ...]:
    """Return the names of the columns."""
    return _HEADINGS


def as_markdown(results: Sequence[SetResult], about: Mapping[str, Any], peers: Mapping[str, str]) -> str:
    """Return a Markdown page with a table of the results and the protocol below it.

    Args:
        results: one per set.
        about: what was measured and with what.
        peers: what other tools reach, by set name.
    """
    lines = ["# Test sets", ""]
    lines += [f"- {key}: {value}" for key, value in about.items()]
    lines += ["", *markdown_table(_HEADINGS, as_rows(results, peers))]
    lines += ["", f"Each figure is {heading(results[0].metrics)}, the mean over images. Protocol:", ""]
    for protocol in dict.fromkeys(result.protocol for result in results):
        names = ", ".join(result.name for result in results if result.protocol == protocol)
        lines.append(f"- {protocol}: {names}")
    lines += [
        "",
        f"An image that equals its target counts as {PSNR_CAP_DB:g} dB. *blind* is restored with the",
        "composition that was recognised, *named* with the degradation given by name. *recognised* is the",
        "mean weight of each adapter, *left alone* the share of images recognised as clean and not changed.",
        "Time is that of the blind restoration, recognition included, reading and writing files not.",
    ]
    for result in results:
        if result.singles:
            singles = ", ".join(f"{name} {cell(score)}" for name, score in result.singles.items())
            lines += ["", f"Single adapters on {result.name}: {singles}."]
    return "\n".join(lines) + "\n"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; bars within cells become slashes."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]


def _row(result: SetResult, peers: str) -> tuple[str, ...]:
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in result.weights.items() if weight >= 0.01)
    best = next(iter(result.singles.items()), None)
    return (
        result.name,
        str(len(result.images)),
        cell(result.before),
        cell(result.blind),
        "" if result.named is None else cell(result.named),
        "" if best is None else f"{cell(best[1])} ({best[0]})",
        weights or "clean",
        f"{result.untouched_share:.0%}",
        f"{result.seconds_per_megapixel:.2f}",
        peers,
    )


def _set_as_json(result: SetResult) -> dict[str, Any]:
    return {
        "set": result.name,
        "protocol": result.protocol,
        "count": len(result.images),
        "before": score_as_json(result.before),
        "blind": score_as_json(result.blind),
        "named_as": result.named_as,
        "named": None if result.named is None else score_as_json(result.named),
        "singles": {name: score_as_json(score) for name, score in result.singles.items()},
        "weights": result.weights,
        "untouched_share": result.untouched_share,
        "seconds_per_megapixel": result.seconds_per_megapixel,
        "images": [image_as_json(image) for image in result.images],
    }
