import pytest

from polyrestore.training.loop.schedule import learning_rate
from polyrestore.training.recipes.recipe import OptimiserTable


def rates(steps: int = 100, **table: object) -> list[float]:
    plain = {"learning_rate": 1.0, "warmup_steps": 0, "final_share": 0.0}
    settings = OptimiserTable.model_validate(plain | table)
    return [learning_rate(step, steps, settings) for step in range(steps)]


def test_the_warm_up_is_linear() -> None:
    found = rates(schedule="constant", warmup_steps=4)
    assert found[:6] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_cosine_and_linear_fall_to_the_final_share() -> None:
    for schedule in ("cosine", "linear"):
        found = rates(1000, schedule=schedule, final_share=0.1)
        assert found[0] == 1
        assert found[500] == pytest.approx(0.55)
        assert found[-1] == pytest.approx(0.1, abs=2e-3)
        assert found == sorted(found, reverse=True)


def test_steps_decay_at_the_milestones() -> None:
    found = rates(schedule="steps", milestones=(10, 20), decay=0.5)
    assert (found[9], found[10], found[19], found[20], found[-1]) == (1, 0.5, 0.5, 0.25, 0.25)


def test_cycles_are_flat_first_and_then_cosines_that_start_anew() -> None:
    found = rates(schedule="cycles", milestones=(10, 40, 40), final_share=0.0)
    assert found[:11] == [1] * 11
    assert found[30] == pytest.approx(0.5)
    assert found[49] < 0.01
    assert found[50] == 1
    assert found[95] == 0
