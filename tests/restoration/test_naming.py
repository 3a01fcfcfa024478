from __future__ import annotations

from collections.abc import Mapping

import pytest

from polyrestore.errors import CompositionError, NotationError
from polyrestore.restoration.naming import named_composition

KNOWN = ("haze", "noise", "rain")


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("rain", {"rain": 1.0}),
        ("rain, noise", {"rain": 0.5, "noise": 0.5}),
        ("rain=0.7,noise=0.3", {"rain": 0.7, "noise": 0.3}),
        ("rain=0.7, noise=0.2, haze=0.1", {"rain": 0.7, "noise": 0.2, "haze": 0.1}),
        (" rain = 0.7 ", {"rain": 0.7}),
        ({"rain": 0.25}, {"rain": 0.25}),
        ({"rain": 1}, {"rain": 1.0}),
    ],
)
def test_reads_what_people_write(text: str | Mapping[str, float], weights: dict[str, float]) -> None:
    assert named_composition(text, KNOWN) == weights


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name at least one adapter, such as haze, noise, rain"),
        ({}, "name at least one adapter"),
        ("rian", "no adapter 'rian'; did you mean 'rain'"),
        ("rain=0.5,noise", "give a weight to every name"),
        ("rain=much", "the weight of 'rain' must be a number, not 'much'"),
        ("rain=", "the weight of 'rain' must be a number, not ''"),
        ("rain=nan", "the weight of 'rain' must be a number of at least 0, not nan"),
        ("rain=inf", "not inf"),
        ("rain=-0.5", "not -0.5"),
        ("rain=0", "add up to 0;"),
        ("rain=0.8,noise=0.4", "add up to 1.2; they must add up to above 0 and at most 1"),
        ({"rain": 2.0}, "add up to 2;"),
        ({"rain": "much"}, "the weight of 'rain' must be a number, not 'much'"),
        ({"rain": None}, "the weight of 'rain' must be a number, not None"),
    ],
)
def test_says_what_is_wrong(text: str | Mapping[str, float], message: str) -> None:
    with pytest.raises(CompositionError, match=message):
        named_composition(text, KNOWN)


def test_adapters_that_act_in_full_each_reach_one() -> None:
    assert named_composition("rain,noise", KNOWN, full=True) == {"rain": 1.0, "noise": 1.0}
    assert named_composition("rain=1,noise=0.4", KNOWN, full=True) == {"rain": 1.0, "noise": 0.4}
    for text in ("rain=1.1", "rain=0"):
        with pytest.raises(CompositionError, match="each weight must be at most 1, and one of them above 0"):
            named_composition(text, KNOWN, full=True)


def test_a_name_that_is_given_twice_is_refused() -> None:
    with pytest.raises(NotationError, match="'rain' is given twice in 'rain,rain'"):
        named_composition("rain,rain", ["rain"])
