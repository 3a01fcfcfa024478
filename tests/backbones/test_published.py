"""What published networks have in common, each held to all of it by one line of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrestore.backbones import Backbone
from polyrestore.errors import BackboneError
from tests.support import networks
from tests.support.networks import TINY

Options = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """How a network is held to what is common.

    Attributes:
        largest_px: sides up to this one are tried.
        variants: options beside the tiny ones that decide over reach, tiles and sizes.
        tiled: height, width and tile of images whose tiles equal the whole; none where tiles are inexact.
        context_limit_px: where the context becomes an average over crops, if it ever does.
        unused: beginnings of the parameters that no gradient reaches.
        refused: options that make no network.
    """

    largest_px: int
    variants: tuple[Options, ...] = ({},)
    tiled: tuple[tuple[int, int, int], ...] = ()
    context_limit_px: int | None = None
    unused: tuple[str, ...] = ()
    refused: tuple[Options, ...] = ({"depth": 3},)


CASES = {
    "airnet": Case(20),
    "compact": Case(40, ({"shuffle": 1}, {"shuffle": 2}, {"veil_width": 4}), ((150, 210, 48),)),
    "nafnet": Case(
        40,
        tiled=((64, 96, 16), (61, 83, 24), (3, 70, 8)),
        context_limit_px=32,
        refused=({"depth": 3}, {"decoder_blocks": (1,)}, {"context_limit_px": -1}),
    ),
    "promptir": Case(
        30,
        tiled=((30, 250, 48), (243, 11, 48)),
        context_limit_px=40,
        unused=("chnl_reduce", "reduce_noise_channel_"),
        refused=({"depth": 3}, {"prompt_widths": (2, 4)}, {"prompt_widths": (1, 4, 6)}),
    ),
    "restormer": Case(
        30,
        ({"norm_bias": True}, {"norm_bias": False}),
        tiled=((40, 200, 40), (3, 205, 40)),
        context_limit_px=40,
        refused=({"depth": 3}, {"blocks": (1, 1)}, {"heads": (1, 3, 2, 4)}),
    ),
    "transweather": Case(140),
    "unet": Case(40, ({"shuffle": 1}, {"shuffle": 2}), ((150, 210, 48),)),
}
EXACT = [name for name, case in CASES.items() if case.tiled]
AVERAGED = [name for name, case in CASES.items() if case.context_limit_px]


def build(name: str, **options: Any) -> Backbone:
    return networks.tiny(name, TINY[name] | options)


def variants(names: list[str]) -> list[tuple[str, Options]]:
    return [(name, options) for name in names for options in CASES[name].variants]


def test_every_network_is_in_the_table() -> None:
    # The generative one takes its steps into account in tests of its own.
    assert set(CASES) == set(networks.PUBLISHED) - {"flow"}
    for name in CASES:
        assert build(name).description.exact_tiles == (name in EXACT)


@pytest.mark.parametrize("name", CASES)
def test_a_checkpoint_loads_strictly(name: str) -> None:
    networks.check_strict_load(name, TINY[name])


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_size_in_is_size_out(name: str, data: st.DataObject) -> None:
    case = CASES[name]
    height, width = (data.draw(st.integers(1, case.largest_px)) for _ in range(2))
    networks.check_size_is_kept(build(name, **data.draw(st.sampled_from(case.variants))), height, width)


@pytest.mark.parametrize(("name", "options"), variants(EXACT))
def test_a_pixel_reaches_as_far_as_described(name: str, options: Options) -> None:
    networks.check_reach(build(name, **options))


@pytest.mark.parametrize(("name", "options"), variants(EXACT))
def test_tiles_equal_the_whole(name: str, options: Options) -> None:
    for height, width, tile_px in CASES[name].tiled:
        networks.check_tiles_equal_the_whole(build(name, **options), height, width, tile_px)


@pytest.mark.parametrize("name", AVERAGED)
def test_the_context_replays_the_whole(name: str) -> None:
    networks.check_context(build(name))


@pytest.mark.parametrize("name", AVERAGED)
def test_large_images_are_averaged_over_crops(name: str) -> None:
    networks.check_large_images(build(name), build(name, context_limit_px=CASES[name].context_limit_px))


@pytest.mark.parametrize("name", EXACT)
def test_gradients_reach_every_parameter_that_is_used(name: str) -> None:
    networks.check_gradients(build(name), CASES[name].unused)


@pytest.mark.parametrize("name", EXACT)
def test_adapters_attach(name: str) -> None:
    networks.check_adapters(build(name))


@pytest.mark.parametrize("name", CASES)
def test_wrong_options_are_refused(name: str) -> None:
    for options in CASES[name].refused:
        with pytest.raises(BackboneError, match="cannot be built"):
            build(name, **options)
