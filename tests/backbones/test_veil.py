"""The physics of haze: what is put over a scene by Koschmieder's law is taken off again by it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from polyrestore.backbones.veil import (
    OVERVIEW_PX,
    VEIL_DIM,
    dark_channel,
    guided_coefficients,
    thickest_colours,
    veil_at,
    without_veil,
)
from tests.support.networks import random_image


def vector(light: tuple[float, ...], size: tuple[int, ...], slope: float, offset: float) -> Tensor:
    """Return what a network would say about one image, with maps of one value each."""
    maps = [torch.full((OVERVIEW_PX**2,), value) for value in (slope, offset)]
    return torch.cat([torch.tensor([1.0, *light, *size, 0.0, 0.0]), *maps])[None]


def test_the_true_transmission_and_airlight_give_the_scene_back() -> None:
    scene, light = random_image(40, 56), (0.9, 0.8, 0.7)
    hazy = scene * 0.4 + torch.tensor(light).view(1, 3, 1, 1) * 0.6
    veil = vector(light, hazy.shape[-2:], 0.0, 0.4)
    assert veil.shape == (1, VEIL_DIM)
    torch.testing.assert_close(without_veil(hazy, veil), scene, atol=1e-5, rtol=0)


def test_a_tile_is_given_the_part_of_the_veil_that_lies_over_it() -> None:
    image, veil = random_image(60, 80), vector((0.9, 0.9, 0.9), (60, 80), 0.2, 0.0)
    veil[:, -(OVERVIEW_PX**2) :] = torch.linspace(0.2, 0.9, OVERVIEW_PX**2)
    whole = without_veil(image, veil)
    tile = without_veil(image[..., 16:48, 24:64], veil_at(veil, 16, 24))
    torch.testing.assert_close(tile, whole[..., 16:48, 24:64], atol=1e-5, rtol=0)
    assert float((without_veil(image[..., 16:48, 24:64], veil) - tile).abs().max()) > 1e-2


def test_the_dark_channel_is_dark_where_any_colour_is_missing_nearby() -> None:
    image = torch.ones(1, 3, 20, 20)
    image[0, 1, 10, 10] = 0
    dark = dark_channel(image)
    assert float(dark[..., 7:14, 7:14].max()) == 0
    assert int((dark == 0).sum()) == 49


def test_a_guided_map_keeps_to_the_edges_of_its_guide() -> None:
    guide = torch.zeros(1, 3, 32, 32)
    guide[..., 16:] = 1
    blurred = functional.avg_pool2d(guide[:, :1], 9, 1, 4, count_include_pad=False)
    slope, offset = guided_coefficients(guide, blurred)
    followed = slope * guide.mean(1, keepdim=True) + offset
    jump = [float((each[..., 16] - each[..., 15]).mean()) for each in (followed, blurred)]
    assert jump[0] > 3 * jump[1]


def test_the_thickest_part_of_a_veil_has_the_colour_of_its_light() -> None:
    light = torch.tensor([0.9, 0.8, 0.7]).view(1, 3, 1, 1)
    thickness = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    hazy = random_image(64, 64) * (1 - thickness) + light * thickness
    least, more = thickest_colours(hazy, dark_channel(hazy))
    torch.testing.assert_close(least, light.flatten(1), atol=0.05, rtol=0)
    assert float((least - light.flatten(1)).abs().mean()) < float((more - light.flatten(1)).abs().mean())
