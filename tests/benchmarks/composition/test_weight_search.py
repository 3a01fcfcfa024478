from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.composition.weight_search import LARGEST_WEIGHT, best_of_any_sum, best_on_simplex


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


@given(first=st.integers(0, 9), second=st.integers(0, 9), start=st.integers(0, 1))
def test_weights_of_any_sum_are_found_up_to_the_largest(first: int, second: int, start: int) -> None:
    wanted = {"a": first / 5, "b": second / 5}
    starts = [{"a": 1.0}, {"a": 0.4, "b": 0.6}]
    found = best_of_any_sum([starts[start], starts[1 - start]], nearness(wanted))
    nearest = {name: min(value, LARGEST_WEIGHT) for name, value in wanted.items()}
    assert found == pytest.approx({name: value for name, value in nearest.items() if value})


def test_weights_of_any_sum_are_never_worse_than_the_starts() -> None:
    starts = [{"a": 0.3, "b": 0.7}, {"a": 1.0, "b": 1.0}]

    def score_of(weights: Mapping[str, float]) -> float:
        return float(starts[1].items() <= weights.items())

    assert best_of_any_sum(starts, score_of) == starts[1]
