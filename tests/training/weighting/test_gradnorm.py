import pytest
import torch
from torch import Tensor

from polyrestore.training.weighting.gradnorm import GradNorm

BOTH = torch.tensor([True, True])


def gram(*norms: float) -> Tensor:
    return torch.diag(torch.tensor(norms)).square()


def test_one_step_by_hand() -> None:
    strategy = GradNorm(2, alpha=1.5, learning_rate=0.1)
    weights = strategy.weights(torch.tensor([0.2, 0.05]), BOTH, gram(3.0, 1.0))
    assert weights.tolist() == pytest.approx([0.5, 0.5])
    # The first losses are the initial ones: both rates are 1, and the mean norm is 2. The first task's
    # gradient is above it, the second one's below: slopes 3 / 2 and -1 / 2.
    shares = [1 - 0.1 * 1.5, 1 + 0.1 * 0.5]
    expected = [share * 2 / sum(shares) for share in shares]
    assert strategy.shares.tolist() == pytest.approx(expected)


def test_gradients_of_one_size_under_equal_rates() -> None:
    strategy = GradNorm(2)
    for _ in range(400):
        weights = strategy.weights(torch.tensor([0.1, 0.1]), BOTH, gram(4.0, 1.0))
    assert float(weights[0] * 4 / weights[1]) == pytest.approx(1, rel=0.15)


def test_a_task_that_learns_slowly_gets_a_larger_gradient() -> None:
    strategy = GradNorm(2, alpha=1.5)
    for step in range(400):
        losses = torch.tensor([0.1, 0.1]) if step < 10 else torch.tensor([0.1, 0.05])
        weights = strategy.weights(losses, BOTH, gram(1.0, 1.0))
    # Rates 4/3 and 2/3 call for norms in the ratio 2^1.5.
    assert float(weights[0] / weights[1]) == pytest.approx(2**1.5, rel=0.2)


def test_an_absent_task_keeps_its_start() -> None:
    strategy = GradNorm(2)
    strategy.weights(torch.tensor([0.3, 0.0]), torch.tensor([True, False]), gram(1.0, 0.0))
    assert strategy.initial_counts.tolist() == [1, 0]
