from itertools import product
from typing import get_args

import pytest
import torch
from torch.nn import functional

from polyrestore.training.loop.losses import LOSSES, STRUCTURE_SHARE, structure_error
from polyrestore.training.recipes.recipe import Recipe
from tests.support.networks import random_image


def test_every_loss_can_be_named_in_a_recipe() -> None:
    assert set(get_args(Recipe.model_fields["loss"].annotation)) == set(LOSSES)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_loss_is_zero_for_equal_images_and_grows_sample_by_sample(name: str) -> None:
    clean = random_image(40, 33, batch=3)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    restored = clean + noise * torch.tensor([0.0, 0.02, 0.1])[:, None, None, None]
    losses = LOSSES[name](restored, clean)
    assert losses.shape == (3,)
    assert float(losses[0]) == pytest.approx(0, abs=2e-3)
    assert losses[0] < losses[1] < losses[2]
    torch.testing.assert_close(LOSSES[name](restored[1:2], clean[1:2]), losses[1:2])


def test_structure_at_one_scale_is_the_published_ssim() -> None:
    # Too small to be halved: one scale alone, here window by window in double precision.
    first, second = random_image(13, 13), random_image(13, 13, seed=1)
    found = []
    for row, column, channel in product(range(7), range(7), range(3)):
        window = (0, channel, slice(row, row + 7), slice(column, column + 7))
        x, y = first[window].double(), second[window].double()
        covariance = ((x - x.mean()) * (y - y.mean())).mean()
        spread = x.var(correction=0) + y.var(correction=0)
        means = (2 * x.mean() * y.mean() + 1e-4) / (x.mean() ** 2 + y.mean() ** 2 + 1e-4)
        found.append(float(means * (2 * covariance + 9e-4) / (spread + 9e-4)))
    assert float(1 - structure_error(first, second)) == pytest.approx(sum(found) / len(found), abs=1e-5)


def test_structure_sees_blur_that_costs_little_l1() -> None:
    clean = random_image(48, 48)
    blurred = functional.avg_pool2d(functional.pad(clean, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    tinted = clean + (blurred - clean).abs().mean()
    l1 = [float(LOSSES["l1"](each, clean)) for each in (blurred, tinted)]
    assert l1[0] == pytest.approx(l1[1], rel=1e-3)
    assert structure_error(blurred, clean) > 2 * structure_error(tinted, clean)
    expected = LOSSES["l1"](blurred, clean) + STRUCTURE_SHARE * structure_error(blurred, clean)
    torch.testing.assert_close(LOSSES["l1+structure"](blurred, clean), expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (64, 64)])
def test_gradients_are_finite_for_every_size_and_for_flat_images(size: tuple[int, int]) -> None:
    clean = torch.full((2, 3, *size), 0.5)
    restored = clean.clone().requires_grad_(True)
    torch.autograd.backward(LOSSES["l1+structure"](restored, clean).sum())
    assert restored.grad is not None
    assert torch.isfinite(restored.grad).all()
