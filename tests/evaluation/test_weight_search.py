from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyrestore.evaluation.weight_search import best_on_simplex, best_sum


def nearness(wanted: Mapping[str, float]) -> Callable[[Mapping[str, float]], float]:
    names = sorted(wanted)
    return lambda weights: -sum((weights.get(name, 0.0) - wanted[name]) ** 2 for name in names)


@given(first=st.integers(0, 10), second=st.integers(0, 10))
def test_a_smooth_maximum_on_the_lattice_is_found(first: int, second: int) -> None:
    second = min(second, 10 - first)
    wanted = {"a": first / 10, "b": second / 10, "c": (10 - first - second) / 10}
    found = best_on_simplex("abc", nearness(wanted))
    assert found == {name: value for name, value in wanted.items() if value}
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize("names", ["a", "ab", "abcd"])
def test_the_result_is_at_least_as_good_as_single_adapters_and_even_weights(names: str) -> None:
    asked: list[tuple[tuple[str, float], ...]] = []

    def score_of(weights: Mapping[str, float]) -> float:
        asked.append(tuple(sorted(weights.items())))
        # Rough, with many local maxima.
        return float(sum(int(weight * 10) ** 3 * ord(name) for name, weight in weights.items()) % 17)

    found = best_on_simplex(names, score_of)
    assert len(set(asked)) == len(asked)
    assert all(sum(weight for _, weight in each) == pytest.approx(1) for each in asked)
    assert score_of(found) >= max(score_of(dict(each)) for each in asked[: len(names) + 1])
    assert found == best_on_simplex(names, score_of)


@pytest.mark.parametrize(("wanted", "found"), [(1.0, 1.0), (1.4, 1.4), (0.5, 0.4), (9.0, 2.0), (0.0, 0.2)])
def test_the_best_multiple_is_found_within_its_range(wanted: float, found: float) -> None:
    weights = {"a": 0.7, "b": 0.3}
    scaled = best_sum(weights, lambda w: -abs(sum(w.values()) - wanted + 0.01))
    assert sum(scaled.values()) == pytest.approx(found)
    assert scaled["a"] / scaled["b"] == pytest.approx(7 / 3)
