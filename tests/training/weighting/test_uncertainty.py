import pytest
import torch

from polyrestore.training.weighting.uncertainty import Uncertainty

BOTH = torch.tensor([True, True])


def test_one_step_by_hand() -> None:
    strategy = Uncertainty(2, learning_rate=0.1, initial_loss=0.1)
    assert strategy.weights(torch.tensor([0.15, 0.05]), BOTH).tolist() == pytest.approx([0.5, 0.5])
    start = float(torch.tensor(0.1).log())
    assert strategy.log_scale.tolist() == pytest.approx([start + 0.05, start - 0.05])


def test_weights_become_inverse_to_the_losses() -> None:
    strategy = Uncertainty(2, learning_rate=0.1)
    for _ in range(500):
        weights = strategy.weights(torch.tensor([0.2, 0.05]), BOTH)
    assert weights.tolist() == pytest.approx([0.2, 0.8], abs=1e-3)


def test_an_absent_task_learns_nothing() -> None:
    strategy = Uncertainty(2)
    before = strategy.log_scale.clone()
    strategy.weights(torch.tensor([0.5, 0.5]), torch.tensor([True, False]))
    assert float(strategy.log_scale[1]) == float(before[1])
    assert float(strategy.log_scale[0]) > float(before[0])
