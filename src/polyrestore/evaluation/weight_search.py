"""Searching the composition weights that do best on a set whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations

Weights = dict[str, float]
ScoreOf = Callable[[Mapping[str, float]], float]

PARTS = 10
"""The simplex is searched in steps of 1 / PARTS."""
SUM_STEP = 0.2
SUM_RANGE = (0.2, 2.0)


def best_on_simplex(names: Sequence[str], score_of: ScoreOf) -> Weights:
    """Return weights in steps of 0.1 that add up to 1, at a local maximum of a score.

    Starts at the best of the single adapters and the even composition, rounded to the steps. From there a
    weight of 0.2 is moved from one adapter to another wherever that scores better, until no such move does,
    and then a weight of 0.1. Every composition is scored once.

    Args:
        names: of the adapters that may act, at least one.
        score_of: larger is better.
    """
    scores: dict[tuple[int, ...], float] = {}

    def score(parts: tuple[int, ...]) -> float:
        if parts not in scores:
            scores[parts] = score_of(_weights(names, parts))
        return scores[parts]

    count = len(names)
    even = [PARTS * (index + 1) // count - PARTS * index // count for index in range(count)]
    singles = [tuple(PARTS * (index == which) for index in range(count)) for which in range(count)]
    # The first of equals, so that the result does not depend on anything but the scores.
    best = max([*singles, tuple(even)], key=score)
    for moved in (2, 1):
        better: tuple[int, ...] | None = best
        while better is not None:
            best = better
            better = _better_neighbour(best, moved, score)
    return _weights(names, best)


def best_sum(weights: Mapping[str, float], score_of: ScoreOf) -> Weights:
    """Return a multiple of some weights, in steps of 0.2 from 0.2 to 2, at a local maximum of a score.

    Args:
        weights: a composition that adds up to 1.
        score_of: larger is better.
    """

    def scaled(steps: int) -> Weights:
        return {name: round(weight * steps * SUM_STEP, 6) for name, weight in weights.items()}

    low, high = (round(limit / SUM_STEP) for limit in SUM_RANGE)
    at = round(1 / SUM_STEP)
    best = score_of(scaled(at))
    for direction in (1, -1):
        start = at
        while low <= at + direction <= high and (score := score_of(scaled(at + direction))) > best:
            at, best = at + direction, score
        if at != start:
            break
    return scaled(at)


def _better_neighbour(
    parts: tuple[int, ...], moved: int, score: Callable[[tuple[int, ...]], float]
) -> tuple[int, ...] | None:
    for source, target in permutations(range(len(parts)), 2):
        if parts[source] >= moved:
            changed = list(parts)
            changed[source] -= moved
            changed[target] += moved
            if score(tuple(changed)) > score(parts):
                return tuple(changed)
    return None


def _weights(names: Sequence[str], parts: Sequence[int]) -> Weights:
    return {name: part / PARTS for name, part in zip(names, parts, strict=True) if part}
