import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from polyrestore.adapters import base_sha256
from polyrestore.bundles import Bundle
from polyrestore.bundles.joining import join_bundles, with_recogniser
from polyrestore.errors import BundleError


def trained(bundle: Bundle, part: str, **changes: Any) -> Bundle:
    """Return a bundle whose one trained part is the given one."""
    info = bundle.info.model_copy(update={"training": {part: {"steps": 9}}, "provenance": ("more (CC0)",)})
    return replace(bundle, info=info, **changes)


def test_only_what_a_later_bundle_trained_replaces_what_is_there(
    make_bundle: Callable[..., Bundle], bundle: Bundle
) -> None:
    first = replace(bundle, recogniser=None, prototypes={})
    other = {
        name: replace(adapter, base_sha256=bundle.adapters[name].base_sha256)
        for name, adapter in make_bundle(1).adapters.items()
    }
    later = trained(bundle, "adapter rain", adapters=other, recogniser=None)
    joined = join_bundles([first, later])
    assert joined.adapters == {"rain": other["rain"], "noise": bundle.adapters["noise"]}
    assert joined.recogniser is None
    assert joined.info.training == {**bundle.info.training, "adapter rain": {"steps": 9}}
    assert joined.info.provenance == ("generated images (CC0)", "more (CC0)")
    assert first.adapters == bundle.adapters


def test_the_recogniser_comes_with_all_that_it_was_measured_by(
    make_bundle: Callable[..., Bundle], bundle: Bundle
) -> None:
    later = trained(make_bundle(1), "recogniser", adapters={})
    joined = join_bundles([bundle, later])
    assert joined.backbone is bundle.backbone
    assert joined.recogniser is later.recogniser
    assert joined.prototypes is later.prototypes
    assert joined.recognition_settings == later.recognition_settings
    assert joined.info.training == {**bundle.info.training, "recogniser": {"steps": 9}}


def test_how_adapters_are_composed_stays_with_them(
    make_bundle: Callable[..., Bundle], bundle: Bundle
) -> None:
    own = replace(bundle, recognition_settings={"normalisation": "max", "temperature": 1.0})
    other = replace(make_bundle(1), recognition_settings={"normalisation": "sum", "temperature": 0.5})
    settings = with_recogniser(own, other).recognition_settings
    assert settings["temperature"] == 0.5
    assert settings["normalisation"] == own.composing_settings(other.activation)["normalisation"] != "sum"


def test_where_another_backbone_came_from_is_not_taken_over(
    make_bundle: Callable[..., Bundle], bundle: Bundle
) -> None:
    other = trained(make_bundle(1), "pretraining")
    assert with_recogniser(bundle, other).info.training == bundle.info.training


def test_adapters_beside_another_backbone_are_refused(
    make_bundle: Callable[..., Bundle], bundle: Bundle
) -> None:
    with pytest.raises(BundleError, match="adapters of 'tiny' belong to another backbone"):
        join_bundles([bundle, make_bundle(1)])


def test_adapters_are_carried_over_to_a_backbone_with_a_further_part(bundle: Bundle) -> None:
    extended = copy.deepcopy(bundle.backbone)
    extended.register_buffer("further", torch.ones(2))
    first = replace(bundle, backbone=extended, adapters={}, recogniser=None, prototypes={})
    later = trained(bundle, "adapter rain", recogniser=None)
    joined = join_bundles([first, later])
    assert set(joined.adapters) == {"rain"}
    assert joined.adapters["rain"].base_sha256 == base_sha256(extended) != base_sha256(bundle.backbone)
    with pytest.raises(BundleError, match="another backbone: .* is missing in the extended network"):
        join_bundles([later, replace(later, backbone=extended, adapters=joined.adapters)])
