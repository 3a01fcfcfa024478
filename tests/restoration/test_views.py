"""A mean over four views does not depend on how an image is mirrored; what is the same in all is kept."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from polyrestore.errors import UnknownNameError
from polyrestore.restoration.restorer import Restorer
from polyrestore.restoration.views import mean_of_views
from tests.support.networks import random_image
from tests.support.tiny_bundle import tiny_bundle


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_every_view_is_mirrored_back(height: int, width: int, seed: int) -> None:
    image = random_image(height, width, seed=seed)[0]
    seen = []

    def brighter(view: Tensor) -> Tensor:
        seen.append(view)
        return view + 0.25

    torch.testing.assert_close(mean_of_views(brighter, image), image + 0.25, atol=1e-6, rtol=0)
    assert {tuple(view.shape[1:]) for view in seen} == {(height, width)}
    if min(height, width) > 1:
        assert len({tuple(view.flatten().tolist()) for view in seen}) == 4


@pytest.mark.parametrize("turn", [lambda x: x.flip(1), lambda x: x.flip(2)])
def test_the_best_quality_does_not_depend_on_how_an_image_is_mirrored(
    turn: Callable[[Tensor], Tensor],
) -> None:
    bundle = tiny_bundle(spread=0.5)
    image = random_image(24, 32)[0]
    best, normal = Restorer(bundle, quality="best"), Restorer(bundle)
    weights = {"noise": 1.0}
    result, turned = best.apply([image, turn(image)], weights)
    torch.testing.assert_close(turn(result), turned, atol=1e-5, rtol=0)
    plain, plain_turned = normal.apply([image, turn(image)], weights)
    assert float((turn(plain) - plain_turned).abs().max()) > 1e-4


def test_the_quality_is_pickled_and_checked() -> None:
    bundle = tiny_bundle()
    assert pickle.loads(pickle.dumps(Restorer(bundle, quality="best"))).quality == "best"
    with pytest.raises(UnknownNameError, match="unknown quality 'beste'; did you mean 'best'"):
        Restorer(bundle, quality="beste")
