"""The plain U-Net: what it says about its reach and its context is true, and its options are bounded."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrestore.backbones import build_backbone
from polyrestore.errors import BackboneError
from tests.support.networks import (
    TINY,
    check_adapters,
    check_gradients,
    check_size_is_kept,
    check_strict_load,
    check_tiles_equal_the_whole,
    parameter_count,
    random_image,
    tiny,
)

# The published shape at a width that a test can afford.
NARROW: dict[str, object] = {"width": 4, "context_dim": 8}


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), shuffle=st.sampled_from([1, 2]))
def test_size_in_is_size_out(height: int, width: int, shuffle: int) -> None:
    check_size_is_kept(tiny("unet", TINY["unet"] | {"shuffle": shuffle}), height, width)


@pytest.mark.parametrize("options", [NARROW, TINY["unet"], TINY["unet"] | {"shuffle": 1}])
def test_no_pixel_reaches_further_than_described(options: dict[str, object]) -> None:
    backbone = tiny("unet", options).double()
    radius, multiple = backbone.description.receptive_radius_px, backbone.description.size_multiple
    side, rows = -(-(2 * radius + 2 * multiple) // multiple) * multiple, 2 * multiple
    image = random_image(rows, side).double().requires_grad_(True)
    with torch.no_grad():
        context = backbone.context(image)
    reached = 0
    for centre in (side // 2 - 1, side // 2):
        image.grad = None
        backbone(image, context)[0, :, rows // 2, centre].sum().backward()
        gradient = image.grad
        assert gradient is not None
        touched = gradient.abs().amax((0, 1, 2)).nonzero() - centre
        reached = max(reached, int(touched.abs().max()))
    assert 0.8 * radius < reached <= radius


def test_the_default_reaches_115_px() -> None:
    with torch.device("meta"):
        assert build_backbone("unet").description.receptive_radius_px == 115


def test_tiles_equal_the_whole() -> None:
    check_tiles_equal_the_whole(tiny("unet", TINY["unet"]), 150, 210, 48)


def test_every_parameter_learns() -> None:
    check_gradients(tiny("unet", TINY["unet"]))


def test_weights_move_between_networks_of_the_same_options() -> None:
    check_strict_load("unet", TINY["unet"])


def test_adapters_go_on_and_off() -> None:
    check_adapters(tiny("unet", TINY["unet"]))


def test_the_size_is_known() -> None:
    assert parameter_count("unet") == 1_820_437


def test_a_new_network_starts_near_the_identity() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = build_backbone("unet", **TINY["unet"]).eval()
    image = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert float((backbone(image) - image).abs().max()) < 0.2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"encoder_blocks": (1, 1), "decoder_blocks": (1,)}, "2 encoder levels"),
        ({"encoder_blocks": (), "decoder_blocks": ()}, "encoder_blocks must be a list of 1 to 6"),
        ({"encoder_blocks": (1,) * 7, "decoder_blocks": (1,) * 7}, "encoder_blocks must be a list of 1 to 6"),
        ({"depth": 3}, "no option 'depth'"),
    ],
)
def test_options_that_make_no_network_are_refused(options: dict[str, object], problem: str) -> None:
    with pytest.raises(BackboneError, match=problem):
        build_backbone("unet", **options)
