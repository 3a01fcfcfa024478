from __future__ import annotations

import pytest

from polyrestore.degradations import DEGRADATIONS, MIXTURES, named_mixture
from polyrestore.errors import UnknownNameError

CDD_11 = {
    "low_light+haze", "low_light+rain", "low_light+snow", "haze+rain", "haze+snow", "low_light+haze+rain",
    "low_light+haze+snow",
}  # fmt: skip


def test_the_published_mixtures_are_there() -> None:
    assert set(MIXTURES) >= CDD_11 | {"motion_blur+jpeg", "low_light+motion_blur", "noise+jpeg"}
    assert {name for name, entry in MIXTURES.items() if "CDD-11" in entry.citation} == CDD_11


@pytest.mark.parametrize("name", MIXTURES)
def test_every_mixture_is_of_two_or_three_degradations_and_has_a_source(name: str) -> None:
    entry = MIXTURES[name]
    assert entry.name == name == "+".join(entry.severities)
    assert 2 <= len(entry.severities) <= 3
    assert set(entry.severities) <= set(DEGRADATIONS)
    assert all(0 < severity < 1 for severity in entry.severities.values())
    assert len(entry.citation) > 10


def test_no_two_mixtures_are_of_the_same_degradations() -> None:
    assert len({frozenset(entry.severities) for entry in MIXTURES.values()}) == len(MIXTURES)


def test_the_order_in_a_name_does_not_matter_but_that_of_the_damage_is_physical() -> None:
    entry = named_mixture(" rain + low_light+haze")
    assert entry is MIXTURES["low_light+haze+rain"]
    assert entry.applied == ("haze", "rain", "low_light")


@pytest.mark.parametrize("name", ["haze+rian", "haze", "", "haze+haze+rain", "rain+jpeg+haze+noise"])
def test_an_unknown_mixture_is_named(name: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown mixture"):
        named_mixture(name)
