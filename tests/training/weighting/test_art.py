import math

import pytest
import torch

from polyrestore.training.weighting.art import Art


def test_weights_of_a_hand_computed_step() -> None:
    art = Art(2)
    weights = art.weights(torch.tensor([0.2, 0.05]), torch.tensor([True, True]))
    # r_k = (L / 0.1) * (log10 0.1 / log10 L)
    first = 2.0 * (-1.0 / math.log10(0.2))
    second = 0.5 * (-1.0 / math.log10(0.05))
    expected = math.exp(first / 0.1) / (math.exp(first / 0.1) + math.exp(second / 0.1))
    assert float(weights[0]) == pytest.approx(expected, rel=1e-5)
    assert float(weights.sum()) == pytest.approx(1.0)
    assert art.average.tolist() == pytest.approx([0.101, 0.0995])
    assert art.best.tolist() == pytest.approx([0.1, 0.05])


def test_weights_of_the_second_step_use_the_state_of_the_first() -> None:
    art = Art(2, temperature=1.0)
    both = torch.tensor([True, True])
    art.weights(torch.tensor([0.2, 0.05]), both)
    weights = art.weights(torch.tensor([0.1, 0.06]), both)
    first = 0.1 / 0.101 * (math.log10(0.1) / math.log10(0.1))
    second = 0.06 / 0.0995 * (math.log10(0.05) / math.log10(0.06))
    expected = math.exp(first) / (math.exp(first) + math.exp(second))
    assert float(weights[0]) == pytest.approx(expected, rel=1e-5)


def test_an_absent_task_gets_no_weight_and_keeps_its_state() -> None:
    art = Art(3)
    weights = art.weights(torch.tensor([0.1, 0.0, 0.3]), torch.tensor([True, False, True]))
    assert float(weights[1]) == 0
    assert float(weights.sum()) == pytest.approx(1.0)
    assert float(art.average[1]) == pytest.approx(0.1)
    assert float(art.best[1]) == pytest.approx(0.1)


@pytest.mark.parametrize("loss", [0.0, 1.0, 5.0, 1e-12])
def test_losses_outside_the_domain_of_the_logarithm_give_finite_weights(loss: float) -> None:
    art = Art(2)
    for _ in range(3):
        weights = art.weights(torch.tensor([loss, 0.1]), torch.tensor([True, True]))
        assert torch.isfinite(weights).all()
        assert float(weights.sum()) == pytest.approx(1.0)


def test_a_loss_of_exactly_nothing_is_not_remembered() -> None:
    art, untouched = Art(2, forgetting=0.1), Art(2, forgetting=0.1)
    both, other = torch.tensor([True, True]), torch.tensor([False, True])
    for strategy, present in ((art, both), (untouched, other)):
        for loss in (0.08, 0.06):
            strategy.weights(torch.tensor([0.0, loss]), present)
    assert torch.equal(art.average, untouched.average)
    assert torch.equal(art.best, untouched.best)
    nearly = Art(2)
    nearly.weights(torch.tensor([1e-4, 0.08]), both)
    assert float(nearly.best[0]) == pytest.approx(1e-4)


def test_forgetting_lets_the_best_loss_rise_again() -> None:
    art, paper = Art(1, forgetting=0.1), Art(1)
    lucky, usual, present = torch.tensor([0.001]), torch.tensor([0.05]), torch.tensor([True])
    for strategy in (art, paper):
        strategy.weights(lucky, present)
        for _ in range(50):
            strategy.weights(usual, present)
    assert float(paper.best) == pytest.approx(0.001)
    assert float(art.best) > 0.02


def test_state_is_saved_and_restored() -> None:
    art = Art(2)
    art.weights(torch.tensor([0.2, 0.05]), torch.tensor([True, True]))
    again = Art(2)
    again.load_state(art.state())
    losses, present = torch.tensor([0.15, 0.04]), torch.tensor([True, True])
    assert torch.equal(art.weights(losses, present), again.weights(losses, present))
