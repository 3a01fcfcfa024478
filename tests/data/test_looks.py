"""Looks that were wanted keep size and range, and do what their names say."""

import pytest
import torch
from torch import Tensor

from polyrestore.data.looks import LOOKS, drop_colour, give_look, reencode
from polyrestore.errors import UnknownNameError


@pytest.fixture
def photograph() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(1, 3, 8, 9, generator=generator)
    return torch.nn.functional.interpolate(small, size=(60, 70), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("name", LOOKS)
def test_every_look_is_seeded_and_changes_the_photograph(name: str, photograph: Tensor) -> None:
    results = [give_look(name, photograph, torch.Generator().manual_seed(seed)) for seed in (4, 4, 5)]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    for image in results:
        assert image.shape == photograph.shape
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
        assert torch.equal(image, (image * 255).round() / 255)
    assert not torch.equal(results[0], photograph)


def test_a_dark_look_keeps_its_white_and_a_bright_one_its_black(photograph: Tensor) -> None:
    photograph[..., :5, :5], photograph[..., -5:, -5:] = 1, 0
    dark = give_look("dark", photograph, torch.Generator().manual_seed(1))
    bright = give_look("bright", photograph, torch.Generator().manual_seed(1))
    assert float(dark.mean()) < float(photograph.mean()) - 0.05
    assert float(dark[..., :5, :5].min()) > 0.75
    assert float(bright.mean()) > float(photograph.mean()) + 0.05
    assert float(bright[..., -5:, -5:].max()) < 0.02


def test_storing_again_loses_the_less_the_better_the_quality(photograph: Tensor) -> None:
    errors = [
        float((reencode(photograph, "JPEG", quality) - photograph).abs().mean()) for quality in (10, 95)
    ]
    assert errors[0] > 3 * errors[1] > 0


def test_a_grey_picture_has_three_equal_channels(photograph: Tensor) -> None:
    grey = drop_colour(photograph)
    assert torch.equal(grey[:, 0], grey[:, 1])
    assert torch.equal(grey[:, 0], grey[:, 2])
    assert float(grey.std()) > 0.05


def test_an_unknown_look_is_named(photograph: Tensor) -> None:
    with pytest.raises(UnknownNameError, match="dark"):
        give_look("darker", photograph, torch.Generator())
