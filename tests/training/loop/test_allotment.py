"""A run that ends after so much time: its schedule follows the clock, and it goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyrestore.errors import RecipeError
from polyrestore.training.loop import allotment as module
from polyrestore.training.loop.allotment import Allotment
from polyrestore.training.reading import load_recipe
from polyrestore.training.run import run_recipe


class Clock:
    """A clock that goes on by as much at every look."""

    def __init__(self, step_seconds: float) -> None:
        self.now, self.step_seconds = 0.0, step_seconds

    def perf_counter(self) -> float:
        """Return the time in seconds."""
        self.now += self.step_seconds
        return self.now


def steps_made(folder: Path) -> list[int]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if line["event"] == "losses"]


def test_without_a_limit_nothing_changes() -> None:
    allotment = Allotment(0)
    assert not allotment.is_over
    assert allotment.expected_steps(7, 100) == 100
    assert allotment.state() == {}


def test_the_expected_length_follows_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(0.0)
    monkeypatch.setattr(module, "time", clock)
    allotment = Allotment(1)
    allotment.begin()
    assert allotment.expected_steps(0, 1000) == 1
    clock.now = 15.0
    assert allotment.expected_steps(50, 1000) == 200
    assert allotment.expected_steps(50, 120) == 120
    clock.now = 60.0
    assert allotment.is_over
    assert allotment.expected_steps(180, 1000) == 181


def test_the_time_before_a_checkpoint_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(0.0)
    monkeypatch.setattr(module, "time", clock)
    first, second = Allotment(1), Allotment(1)
    clock.now = 45.0
    second.load_state(first.state())
    second.begin()
    clock.now = 59.0
    assert second.used == pytest.approx(59.0)
    clock.now = 60.0
    assert second.is_over


def test_a_run_ends_with_its_minutes_and_is_not_gone_on_with(
    workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, folder = workshop / "pretraining.toml", workshop / "out"
    limited = ["minutes=1", "steps=1000", "log_every=1"]
    monkeypatch.setattr(module, "time", Clock(5.0))
    bundle = run_recipe(recipe, output_folder=folder, overrides=limited)
    assert (bundle / "model.json").exists()
    made = steps_made(folder)
    assert 1 <= len(made) < 20
    run_recipe(recipe, output_folder=folder, overrides=limited)
    assert steps_made(folder) == made
    # The learning rate is low at the end, as after all steps of a run without a limit.
    rates = [
        json.loads(line)["learning_rate"]
        for line in (folder / "log.jsonl").read_text().splitlines()
        if "learning_rate" in json.loads(line)
    ]
    assert rates[-1] < 0.5 * max(rates)


def test_what_is_trained_by_another_loop_refuses_minutes(tmp_path: Path) -> None:
    recipes = Path(__file__).parents[3] / "recipes"
    with pytest.raises(RecipeError, match="minutes are not for phase"):
        load_recipe(recipes / "recogniser.toml", ["minutes=2"]).check()
