import pytest
import torch

from polyrestore.errors import RecipeError, UnknownNameError
from polyrestore.training.weighting import WEIGHTINGS, Evidence, build_weighting
from tests.training.weighting.evidence import made_up

# As published, these two do not keep the sum of the weights at 1.
FREE_SUM = {"pcgrad", "tur"}


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_every_strategy_gives_weights_to_the_present_tasks_and_continues_from_its_state(name: str) -> None:
    weighting = build_weighting(name, 4)
    present = torch.tensor([True, False, True, True])
    for step in range(5):
        losses = torch.tensor([0.1, 0.0, 0.02 * (step + 1), 0.4])
        weights = weighting.weights(losses, present, made_up(weighting.evidence, 4, step))
        assert float(weights[1]) == 0
        assert bool((weights >= 0).all())
        assert float(weights.sum()) == pytest.approx(1.0) or name in FREE_SUM
    again = build_weighting(name, 4)
    again.load_state(weighting.state())
    losses, evidence = torch.tensor([0.2, 0.1, 0.3, 0.1]), made_up(weighting.evidence, 4, 9)
    both = [each.weights(losses, present, evidence) for each in (weighting, again)]
    assert torch.equal(*both)
    assert all(torch.equal(value, again.state()[key]) for key, value in weighting.state().items())


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_no_present_task_gives_no_weight_and_nothing_infinite(name: str) -> None:
    weighting = build_weighting(name, 3)
    nothing = torch.zeros(3)
    evidence = made_up(weighting.evidence, 3)
    absent = torch.zeros(3, dtype=torch.bool)
    weights = weighting.weights(nothing, absent, None if evidence is None else evidence * 0)
    assert weights.tolist() == [0, 0, 0]
    assert all(bool(torch.isfinite(value).all()) for value in weighting.state().values())


def test_the_state_does_not_change_with_the_strategy_that_it_was_taken_from() -> None:
    for name in WEIGHTINGS:
        weighting = build_weighting(name, 2)
        state = weighting.state()
        kept = {key: value.clone() for key, value in state.items()}
        evidence = made_up(weighting.evidence, 2)
        weighting.weights(torch.tensor([0.3, 0.01]), torch.tensor([True, True]), evidence)
        assert all(torch.equal(value, kept[key]) for key, value in state.items())


def test_what_is_asked_for_is_declared() -> None:
    asking = {name: build_weighting(name, 2).evidence for name in WEIGHTINGS}
    assert {name for name, kind in asking.items() if kind is not Evidence.NONE} == {
        "gradnorm", "pcgrad", "tur",
    }  # fmt: skip


def test_unknown_names_and_options_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'art'"):
        build_weighting("arts", 3)
    with pytest.raises(RecipeError, match="does not take"):
        build_weighting("art", 3, {"temprature": 1.0})
