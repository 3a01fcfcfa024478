import math

import pytest
import torch
from torch import Tensor

from polyrestore.training.weighting.tur import TaskUncertainty


def test_weights_and_slopes_are_the_derivatives_of_the_published_loss() -> None:
    losses, scales = torch.tensor([0.2, 0.05, 0.0]), torch.tensor([0.5, 0.1, 0.0])
    present = torch.tensor([True, True, False])
    strategy = TaskUncertainty(3)

    def published(loss: Tensor, scale: Tensor) -> Tensor:
        scale = scale + 1e-6
        return (loss / scale + 2 * torch.log(scale))[:2].sum() / 2

    inputs = [losses.clone().requires_grad_(), scales.clone().requires_grad_()]
    slopes = torch.autograd.grad(published(*inputs), inputs)
    assert torch.allclose(strategy.weights(losses, present, scales), slopes[0])
    assert torch.allclose(strategy.scale_slopes(losses, present, scales), slopes[1])


def test_a_task_weighs_most_where_its_expected_error_is_half_its_loss() -> None:
    loss = torch.tensor([0.08])
    strategy, present = TaskUncertainty(1), torch.tensor([True])
    scale = torch.tensor([0.7])
    for _ in range(5000):
        scale = scale - 1e-4 * strategy.scale_slopes(loss, present, scale)
    assert float(scale) == pytest.approx(0.04, rel=1e-2)
    assert math.isfinite(float(strategy.weights(loss, present, torch.zeros(1))))
