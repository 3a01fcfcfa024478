"""An adapter that was taught acts only where it finds something to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrestore.bundles import Bundle
from polyrestore.errors import CompositionError, RecognitionError
from polyrestore.recognition import RecognitionSettings
from polyrestore.recognition.similarity import weigh_similarities
from polyrestore.restoration.confirming import change_between, confirmed, parts_of
from polyrestore.restoration.restorer import Restorer
from polyrestore.video.survey import recognise_alike
from tests.support.networks import random_image
from tests.support.tiny_bundle import tiny_bundle

SETTINGS = RecognitionSettings(
    activation="sigmoid",
    normalisation="none",
    minimum_share=0.5,
    clean_threshold=1.01,
    supersedes={"film": ["noise"]},
    least_changes={"film": 5.0},
)
SIMILARITIES = {"clean": 0.0, "film": 0.6, "noise": 0.5, "rain": -0.5}


@pytest.mark.parametrize(("change", "acting"), [(4.9, {"noise"}), (5.0, {"film"})])
def test_what_finds_too_little_to_do_gives_way_to_what_it_superseded(change: float, acting: set[str]) -> None:
    seen = replace(weigh_similarities(SIMILARITIES, SETTINGS), severities={"noise": 0.25})
    assert {*seen.weights} == {"film"}
    found = confirmed(seen, SETTINGS, lambda name, _: {"film": change}[name])
    assert {*found.weights} == acting
    assert (found.probabilities, found.severities) == (seen.probabilities, seen.severities)
    assert ("film" in found.uncertain) is (change < 5)


def test_nobody_else_is_asked_and_nobody_twice() -> None:
    asked: list[tuple[str, ...]] = []
    both = replace(SETTINGS, least_changes={"film": 5.0, "noise": 5.0, "rain": 5.0})

    def change_by(name: str, beside: Mapping[str, float]) -> float:
        asked.append((name, *beside))
        return 0.0

    assert confirmed(weigh_similarities(SIMILARITIES, both), both, change_by).is_clean
    assert asked == [("film",), ("noise",)]
    asked.clear()
    side_by_side = replace(both, supersedes={})
    assert confirmed(weigh_similarities(SIMILARITIES, side_by_side), side_by_side, change_by).is_clean
    assert asked == [("film", "noise"), ("noise",)]


@settings(max_examples=50, deadline=None)
@given(height=st.integers(1, 1500), width=st.integers(1, 1500))
def test_the_parts_lie_in_the_image_and_cover_a_small_one(height: int, width: int) -> None:
    image = torch.zeros(1, height, width)
    parts = parts_of(image)
    for part in parts:
        part += 1
    assert 1 <= len(parts) <= 4
    assert all(1 <= side <= 256 for part in parts for side in part.shape[1:])
    assert float(image.max()) == 1
    if max(height, width) <= 512:
        assert float(image.min()) == 1


def test_a_change_is_told_in_grey_levels() -> None:
    grey, white = torch.full((3, 4, 4), 0.5), torch.ones(3, 4, 4)
    change = change_between([grey, grey], [grey + 3 / 255, grey - 4 / 255])
    assert change == pytest.approx((25 / 2) ** 0.5, rel=1e-4)
    # What is clipped in the end is no change.
    assert change_between([white], [white + 0.5]) == 0


def changing_bundle(least_change: float) -> Bundle:
    """A bundle whose first adapter is recognised in everything, and acts from a change on."""
    bundle = tiny_bundle()
    name = sorted(bundle.adapters)[0]
    own = {**bundle.recognition_settings, "minimum_share": 0.0, "clean_threshold": 1.01}
    return replace(bundle, recognition_settings={**own, "least_changes": {name: least_change}})


def test_a_restorer_asks_its_network() -> None:
    image = random_image(40, 48)[0]
    bundle = changing_bundle(0.0)
    (name,) = bundle.recognition_settings["least_changes"]
    restorer = Restorer(bundle)
    assert name in restorer.recognise(image).weights
    change = restorer.change_in(image, name, {})
    alone = restorer.apply([image], {name: 1.0})
    assert change == pytest.approx(change_between([image], alone), rel=0.2)
    (other,) = bundle.adapters.keys() - {name}
    both, without = (restorer.apply([image], {other: 0.5} | more)[0] for more in ({name: 1.0}, {}))
    beside = restorer.change_in(image, name, {other: 0.5})
    assert beside == pytest.approx(change_between([without], [both]), rel=0.2)
    assert change > 0
    with pytest.raises(CompositionError, match="unknown adapter 'film'"):
        restorer.change_in(image, "film", {})

    doubting = Restorer(changing_bundle(255.0))
    assert name not in doubting.recognise(image).weights
    assert name not in doubting.restore(image).weights
    assert name not in recognise_alike(doubting, [image, image]).weights
    assert name in recognise_alike(restorer, [image, image]).weights
    assert name in doubting.restore(image, as_=name).weights


@pytest.mark.parametrize("wrong", [{"film": -1.0}, {"film": "much"}, {"film": float("nan")}, [5.0]])
def test_changes_that_make_no_sense_are_refused(wrong: object) -> None:
    with pytest.raises(RecognitionError, match="least_changes"):
        RecognitionSettings(least_changes=wrong)  # type: ignore[arg-type]
