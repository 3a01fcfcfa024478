import pytest
import torch

from polyrestore.errors import RecipeError, UnknownNameError
from polyrestore.training.weighting import WEIGHTINGS, build_weighting


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_every_strategy_gives_weights_that_add_up_over_the_present_tasks(name):
    weighting = build_weighting(name, 4)
    present = torch.tensor([True, False, True, True])
    for step in range(5):
        weights = weighting.weights(torch.tensor([0.1, 0.0, 0.02 * (step + 1), 0.4]), present)
        assert float(weights.sum()) == pytest.approx(1.0)
        assert float(weights[1]) == 0
        assert bool((weights >= 0).all())
    again = build_weighting(name, 4)
    again.load_state(weighting.state())
    losses = torch.tensor([0.2, 0.1, 0.3, 0.1])
    assert torch.equal(weighting.weights(losses, present), again.weights(losses, present))


def test_unknown_names_and_options_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'art'"):
        build_weighting("arts", 3)
    with pytest.raises(RecipeError, match="does not take"):
        build_weighting("art", 3, {"temprature": 1.0})
