"""Temperature, K and normalisation: what must hold for every value, and what is no value."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from polyrestore.errors import RecognitionError
from polyrestore.recognition import (
    ACTIVATIONS,
    CLEAN,
    NORMALISATIONS,
    Recognition,
    RecognitionSettings,
    composition_of,
    weigh,
    weigh_similarities,
)

NAMES = ("haze", "jpeg", "noise", "rain", "snow", CLEAN)


def found_in(seed: int, chosen: RecognitionSettings) -> Recognition:
    generator = torch.Generator().manual_seed(seed)
    vectors = functional.normalize(torch.randn(len(NAMES) + 1, 6, generator=generator), dim=1)
    return weigh(vectors[-1], dict(zip(NAMES, vectors, strict=False)), chosen)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    temperature=st.floats(1e-6, 10),
    top_k=st.integers(1, 9),
    minimum_share=st.floats(0, 1),
    clean_threshold=st.floats(0, 1.2),
    normalisation=st.sampled_from(NORMALISATIONS),
    saturation=st.floats(0.05, 1),
    activation=st.sampled_from(ACTIVATIONS),
)
def test_weights_are_what_the_settings_say(seed: int, **values: Any) -> None:
    chosen = RecognitionSettings(**values)
    found = found_in(seed, chosen)
    weights = list(found.weights.values())
    if found.probabilities[CLEAN] >= chosen.clean_threshold:
        assert found.is_clean
        return
    assert len(weights) <= chosen.top_k
    assert CLEAN not in found.weights
    assert all(0 < weight <= 1 + 1e-6 for weight in weights)
    damage = {name: share for name, share in found.probabilities.items() if name != CLEAN}
    if chosen.activation == "sigmoid":
        assert all(damage[name] >= chosen.minimum_share for name in found.weights)
        assert bool(weights) == any(value >= chosen.minimum_share and value > 0 for value in damage.values())
    elif max(damage.values()) > 0:
        assert max(damage, key=lambda name: damage[name]) in found.weights or chosen.normalisation == "sum"
        assert weights
    if weights and chosen.normalisation in ("softmax", "sum"):
        assert sum(weights) == pytest.approx(1, abs=1e-5)
    if weights and chosen.normalisation == "max":
        assert max(weights) == 1
    if chosen.normalisation == "none":
        expected = {name: min(damage[name] / chosen.saturation, 1) for name in found.weights}
        assert found.weights == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), temperature=st.floats(0.02, 5), top_k=st.integers(1, 5))
def test_softmax_is_that_of_the_similarities_that_are_kept(seed: int, temperature: float, top_k: int) -> None:
    chosen = RecognitionSettings(temperature, top_k, minimum_share=0, clean_threshold=2)
    found = found_in(seed, chosen)
    damage = {name: value for name, value in found.similarities.items() if name != CLEAN}
    kept = sorted(damage, key=lambda name: -damage[name])[:top_k]
    scale = sum(math.exp((damage[name] - damage[kept[0]]) / temperature) for name in kept)
    for name in kept:
        expected = math.exp((damage[name] - damage[kept[0]]) / temperature) / scale
        assert found.weights.get(name, 0) == pytest.approx(expected, abs=1e-4)


def test_the_normalisations_differ_as_written() -> None:
    shares = {"haze": 0.4, "rain": 0.2, "snow": 0.1, CLEAN: 0.3}
    similarities = {"haze": 0.3, "rain": 0.1, "snow": -0.2, CLEAN: 0.2}

    def weights(normalisation: str, **values: Any) -> dict[str, float]:
        chosen = RecognitionSettings(minimum_share=0, normalisation=normalisation, **values)
        return composition_of(shares, chosen, similarities)

    assert weights("softmax") == pytest.approx({"haze": 4 / 7, "rain": 2 / 7, "snow": 1 / 7})
    assert weights("sum") == pytest.approx({"haze": 0.75, "rain": 0.25})
    assert weights("max") == pytest.approx({"haze": 1, "rain": 0.5, "snow": 0.25})
    assert weights("none", top_k=2) == {"haze": 0.4, "rain": 0.2}
    assert weights("softmax", saturation=0.5) == pytest.approx({"haze": 0.4, "rain": 0.4, "snow": 0.2})
    assert weights("max", saturation=0.4) == pytest.approx({"haze": 1, "rain": 1, "snow": 0.625})
    assert weights("none", saturation=0.2) == pytest.approx({"haze": 1, "rain": 1, "snow": 0.5})
    negative = dict.fromkeys(shares, -0.1)
    chosen = RecognitionSettings(normalisation="sum", top_k=1)
    assert composition_of(shares, chosen, negative) == {"haze": 1}


def test_a_sigmoid_compares_each_degradation_with_clean_alone() -> None:
    similarities = {"haze": 0.6, "rain": 0.5, "snow": 0.1, CLEAN: 0.3}
    chosen = RecognitionSettings(
        0.1, activation="sigmoid", minimum_share=0.5, normalisation="none", clean_threshold=0.5
    )

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    found = weigh_similarities(similarities, chosen)
    assert found.weights == pytest.approx({"haze": sigmoid(3), "rain": sigmoid(2)}, abs=1e-6)
    present = {"haze": sigmoid(3), "rain": sigmoid(2), "snow": sigmoid(-2)}
    nothing = math.prod(1 - value for value in present.values())
    assert found.probabilities == pytest.approx(present | {CLEAN: nothing}, abs=1e-6)
    # What else is there makes nothing less probable.
    fewer = weigh_similarities({"rain": 0.5, CLEAN: 0.3}, chosen)
    assert fewer.probabilities["rain"] == pytest.approx(found.probabilities["rain"])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_adapter_can_have_a_least_share_of_its_own(activation: str) -> None:
    shares = {"haze": 0.5, "rain": 0.3, "snow": 0.2, CLEAN: 0.0}

    def weights(**values: Any) -> set[str]:
        return set(composition_of(shares, RecognitionSettings(activation=activation, **values), {}))

    assert weights(minimum_share=0.25) == {"haze", "rain"}
    assert weights(minimum_share=0.25, minimum_shares={"snow": 0.1, "haze": 0.9}) == {"rain", "snow"}
    # Of shares one must be the largest; of independent probabilities none need be large.
    assert weights(minimum_share=0.9) == ({"haze"} if activation == "softmax" else set())
    assert weights(minimum_share=0.0, minimum_shares={"haze": 0.9}, top_k=1) == {"rain"}


def test_what_is_plain_lowers_the_bar_for_others() -> None:
    chosen = RecognitionSettings(
        activation="sigmoid",
        normalisation="none",
        saturation=0.5,
        minimum_share=0.8,
        clean_threshold=2,
        beside_shares={"haze": 0.5, "rain": 0.99},
    )

    def weights(**shares: float) -> dict[str, float]:
        return composition_of({**shares, CLEAN: 0.0}, chosen, {})

    assert weights(haze=0.6, noise=0.95) == {"haze": 1.0, "noise": 1.0}
    # What acts and is not plain lowers nothing, nor does an adapter that does not act.
    assert weights(haze=0.6, noise=0.85) == {"noise": 1.0}
    assert weights(haze=0.6) == {}
    assert weights(haze=0.4, noise=0.95) == {"noise": 1.0}
    # It lowers the bar and never lifts it; without a share of its own an adapter has the bar of all.
    assert weights(rain=0.85, noise=0.95) == {"noise": 1.0, "rain": 1.0}
    assert weights(snow=0.7, noise=0.95) == {"noise": 1.0}
    assert composition_of({"haze": 0.6, "noise": 0.95}, chosen, {}, refuted=("noise",)) == {}


def test_a_sigmoid_leaves_alone_what_resembles_clean_most() -> None:
    chosen = RecognitionSettings(0.05, activation="sigmoid", minimum_share=0.5)
    assert weigh_similarities({"haze": 0.1, "rain": 0.2, CLEAN: 0.6}, chosen).is_clean
    # Clean it is not for certain, but nothing reaches the least probability.
    unsure = weigh_similarities({"haze": 0.59, "rain": 0.58, "snow": 0.58, CLEAN: 0.6}, chosen)
    assert unsure.probabilities[CLEAN] < 0.5
    assert unsure.is_clean


def test_a_sigmoid_without_clean_compares_with_nothing() -> None:
    chosen = RecognitionSettings(0.1, activation="sigmoid", minimum_share=0.5)
    assert set(weigh_similarities({"haze": 0.2, "rain": -0.2}, chosen).weights) == {"haze"}
    assert weigh_similarities({}, chosen).is_clean


def test_what_older_bundles_store_means_what_it_meant() -> None:
    stored: dict[str, Any] = {"temperature": 0.1, "top_k": 3, "minimum_share": 0.12, "clean_threshold": 0.25}
    assert RecognitionSettings(**stored).normalisation == "softmax"
    assert RecognitionSettings(**stored).activation == "softmax"
    assert RecognitionSettings(**RecognitionSettings(**stored).to_dict()) == RecognitionSettings(**stored)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("temperature", value) for value in (0, 1e-9, -1, math.nan, math.inf, "0.1", True, None)),
        *(("top_k", value) for value in (0, -1, 1.5, 2.0, math.nan, True, "3")),
        *(("minimum_share", value) for value in (-0.1, 1.1, math.nan, None)),
        *(("clean_threshold", value) for value in (-0.1, math.nan, math.inf, "half")),
        *(("normalisation", value) for value in ("sums", "", None, 3)),
        *(("minimum_shares", value) for value in (0.5, None, {"haze": 1.5}, {"haze": "x"}, {"haze": True})),
        *(("beside_shares", value) for value in (0.5, None, {"haze": -0.5}, {"haze": "x"})),
        *(("activation", value) for value in ("softmaxx", "", None, 3)),
    ],
)
def test_a_value_outside_its_range_is_refused(name: str, value: Any) -> None:
    with pytest.raises(RecognitionError, match=name):
        RecognitionSettings(**{name: value})
