import math

import pytest
import torch

from polyrestore.training.weighting.dwa import DynamicWeightAverage

BOTH = torch.tensor([True, True])


def test_two_windows_weigh_alike_and_the_third_prefers_the_slow_task() -> None:
    dwa = DynamicWeightAverage(2, temperature=2.0, window_steps=2)
    for losses in ([0.3, 0.3], [0.1, 0.1], [0.1, 0.2], [0.1, 0.2]):
        assert dwa.weights(torch.tensor(losses), BOTH).tolist() == pytest.approx([0.5, 0.5])
    weights = dwa.weights(torch.tensor([0.1, 0.1]), BOTH)
    first, second = math.exp(0.1 / 0.2 / 2), math.exp(0.2 / 0.2 / 2)
    assert weights.tolist() == pytest.approx([first / (first + second), second / (first + second)])


def test_a_task_that_was_absent_for_a_window_keeps_its_means() -> None:
    dwa = DynamicWeightAverage(2, window_steps=1)
    for losses in ([0.4, 0.4], [0.2, 0.2]):
        dwa.weights(torch.tensor(losses), BOTH)
    before = dwa.newer.clone()
    dwa.weights(torch.tensor([0.1, 0.0]), torch.tensor([True, False]))
    assert float(dwa.newer[1]) == float(before[1])
    assert float(dwa.newer[0]) == pytest.approx(0.1)
