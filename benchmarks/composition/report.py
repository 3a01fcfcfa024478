"""Measured compositions as JSON and as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.composition.measuring import (
    BEST_SINGLE,
    BEST_SINGLE_EACH,
    BLIND,
    BLIND_CHAIN,
    CHAIN,
    FULL_PRESENT,
    INPUT,
    ORACLE,
    ORACLE_SUM,
    UNIFORM_ALL,
    UNIFORM_PRESENT,
    CompositionResult,
    Way,
    blind_variants,
)
from polyrestore.evaluation.scores import cell, mean_score, score_as_json

COMPOSITIONS = (
    INPUT,
    BEST_SINGLE,
    BEST_SINGLE_EACH,
    UNIFORM_ALL,
    UNIFORM_PRESENT,
    FULL_PRESENT,
    CHAIN,
    ORACLE,
    ORACLE_SUM,
    BLIND,
    BLIND_CHAIN,
)
SUMMARY = (INPUT, BEST_SINGLE, ORACLE, BLIND, BLIND_CHAIN)
SHORTFALL_DB = 0.3
SMALLEST_WEIGHT = 0.01

Rows = list[tuple[str, ...]]


def composition_as_json(results: Sequence[CompositionResult]) -> list[dict[str, Any]]:
    """Return results as plain JSON values, one entry for each mixture."""
    return [
        {
            "mixture": result.mixture.name,
            "severities": dict(result.mixture.severities),
            "source": result.mixture.citation,
            "applied": list(result.mixture.applied),
            "present": list(result.present),
            "protocol": result.protocol,
            "images": list(result.names),
            "ways": {name: _way_as_json(way) for name, way in result.ways.items()},
            "singles": result.singles,
            "probabilities": result.probabilities,
            "untouched_share": result.untouched_share,
            "blind_minus_best_single": result.margin(BEST_SINGLE),
            "blind_minus_oracle": _oracle_margin(result),
        }
        for result in results
    ]


def summary_rows(results: Sequence[CompositionResult]) -> Rows:
    """Return a table for a terminal, mean PSNR in dB of a few ways, the first row its headings."""
    rows: Rows = [("mixture", *SUMMARY)]
    for result in results:
        scores = [result.ways[name].score["psnr"] if name in result.ways else None for name in SUMMARY]
        rows.append((result.mixture.name, *("" if score is None else f"{score:.2f}" for score in scores)))
    return rows


def composition_markdown(results: Sequence[CompositionResult], title: str) -> str:
    """Return the tables of one bundle: every way, the settings of recognition, weights, and what falls short.

    Args:
        results: one for each mixture, at least one.
        title: of the section.
    """
    settings = _score_rows(results, (BLIND, *blind_variants()))
    protocols = dict.fromkeys(result.protocol for result in results)
    parts = [
        f"## {title}",
        f"PSNR in dB / SSIM, mean over {_counts(results)}. Protocol: {'; '.join(protocols)}.",
        _table(_score_rows(results, COMPOSITIONS)),
        "Recognition with other settings:",
        _table(settings),
        "Weights. *recognised*: the mean over images; *share*: the recogniser's mean probability.",
        _table(_weight_rows(results)),
        _shortfalls(results),
    ]
    return "\n\n".join(parts) + "\n"


def _score_rows(results: Sequence[CompositionResult], names: Sequence[str]) -> Rows:
    rows: Rows = [("mixture", *names)]
    for result in results:
        rows.append((result.mixture.name, *(_cell(result.ways.get(name)) for name in names)))
    means = []
    for name in names:
        scores = [result.ways[name].score for result in results if name in result.ways]
        means.append(cell(mean_score(scores)) if len(scores) == len(results) else "")
    return [*rows, ("mean", *means)]


def _weight_rows(results: Sequence[CompositionResult]) -> Rows:
    rows: Rows = [("mixture", "oracle", "oracle, any sum", "recognised", "left alone", "share", "chain")]
    for result in results:
        oracles = [
            _weights(result.ways[name].weights) if name in result.ways else ""
            for name in (ORACLE, ORACLE_SUM)
        ]
        rows.append(
            (
                result.mixture.name,
                *oracles,
                _weights(result.ways[BLIND].weights),
                f"{result.untouched_share:.0%}",
                _weights({name: share for name, share in result.probabilities.items() if share >= 0.03}),
                result.ways[CHAIN].detail if CHAIN in result.ways else "",
            )
        )
    return rows


def _shortfalls(results: Sequence[CompositionResult]) -> str:
    """Say where recognition costs something: below one adapter alone, or well below the best weights."""
    lines = []
    for result in results:
        single, oracle = result.margin(BEST_SINGLE), _oracle_margin(result)
        found = []
        if single is not None and single < 0:
            found.append(f"{single:+.2f} dB to the best single adapter ({result.ways[BEST_SINGLE].detail})")
        if oracle is not None and oracle < -SHORTFALL_DB:
            found.append(f"{oracle:+.2f} dB to the better oracle")
        if found:
            lines.append(f"- {result.mixture.name}: {', '.join(found)}")
    if not lines:
        return f"Blind is nowhere below the best single adapter, nor {SHORTFALL_DB} dB below an oracle."
    below = f"Where blind is below the best single adapter, or more than {SHORTFALL_DB} dB below an oracle:"
    return "\n".join([below, "", *lines])


def _oracle_margin(result: CompositionResult) -> float | None:
    """Return how far blind restoration is above the better of the two oracles, in dB."""
    margins = [result.margin(name) for name in (ORACLE, ORACLE_SUM)]
    return min((margin for margin in margins if margin is not None), default=None)


def _counts(results: Sequence[CompositionResult]) -> str:
    counts = sorted({len(result.names) for result in results})
    return " or ".join(str(count) for count in counts) + (" image" if counts == [1] else " images")


def _table(rows: Rows) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    rule = "|---|" + "---:|" * (len(rows[0]) - 1)
    return "\n".join([lines[0], rule, *lines[1:]])


def _cell(way: Way | None) -> str:
    if way is None:
        return ""
    text = cell(way.score)
    return f"{text} ({way.detail})" if way.name == BEST_SINGLE else text


def _weights(weights: Mapping[str, float]) -> str:
    ordered = sorted(weights.items(), key=lambda entry: -entry[1])
    return ", ".join(f"{name} {weight:.2f}" for name, weight in ordered if weight >= SMALLEST_WEIGHT)


def _way_as_json(way: Way) -> dict[str, Any]:
    return {
        **score_as_json(way.score),
        "weights": dict(way.weights),
        "detail": way.detail,
        "images": [score_as_json(score) for score in way.images],
    }
