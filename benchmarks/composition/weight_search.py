"""Searching the composition weights that do best on a set whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations

Weights = dict[str, float]
ScoreOf = Callable[[Mapping[str, float]], float]

PARTS = 10
"""The simplex is searched in steps of 1 / PARTS."""
FREE_STEP = 0.2
LARGEST_WEIGHT = 1.4


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


def best_of_any_sum(starts: Sequence[Mapping[str, float]], score_of: ScoreOf) -> Weights:
    """Return weights from 0 to 1.4, each on its own, at a local maximum of a score.

    From the best of the starts one weight at a time goes up or down by 0.2 wherever that scores better.

    Args:
        starts: compositions of the same adapters; one that is left out has the weight 0.
        score_of: larger is better.
    """
    names = sorted({name for start in starts for name in start})
    best = max(starts, key=score_of)
    at = {name: best.get(name, 0.0) for name in names}
    score = score_of(at)
    improved = True
    while improved:
        improved = False
        for name in names:
            for change in (FREE_STEP, -FREE_STEP):
                moved = {**at, name: round(at[name] + change, 6)}
                if 0 <= moved[name] <= LARGEST_WEIGHT and (reached := score_of(moved)) > score:
                    at, score, improved = moved, reached, True
                    break
    return {name: weight for name, weight in at.items() if weight}


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
