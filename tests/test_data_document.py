"""What docs/data.md says holds: its tables name every layout and key, its recipes load, its commands run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from polyrestore.cli.main import run
from polyrestore.data import LAYOUTS
from polyrestore.training.recipes.data_table import DataTable, SetTable, resolve
from polyrestore.training.recipes.tasks import load_tasks
from tests.data.test_duplicates import scene
from tests.support.set_trees import TREES, plant
from tests.test_readme import ROOT, commands, fenced

DOCUMENT = "docs/data.md"
RECIPES = [tomllib.loads(block)["data"] for block in fenced(DOCUMENT, "toml")]


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every set that the document names, tiny."""
    trees = {
        "BSD400": ("1.png",), "CBSD68": ("2.png",), "RainTrainL": TREES["RainTrainH"][1],
        "allweather": TREES["AllWeather"][1], "own": TREES["own"][1],
    }  # fmt: skip
    for name in ("OTS", "Rain100L", "SOTS", "GoPro", "LOL", "RainDrop", "Snow100K"):
        trees[name] = TREES[name][1]
    for name, files in trees.items():
        plant(tmp_path / "datasets" / name, *files)
    # The commands compare these.
    for seed, name in enumerate(
        ("BSD400/1.png", "CBSD68/2.png", "LOL/our485/high/2.png", "LOL/eval15/high/1.png")
    ):
        scene(seed, (20, 16)).save(tmp_path / "datasets" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_run(datasets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = commands(DOCUMENT, "console")
    assert {command[2] for command in found} == {"inspect", "check", "pack"}
    for program, *arguments in found:
        assert program == "polyrestore"
        assert run(arguments) == 0, f"{arguments}: {capsys.readouterr().out}"


@pytest.mark.parametrize("content", RECIPES, ids=range(len(RECIPES)))
def test_the_recipes_load_and_find_their_sets(datasets: Path, content: dict[str, object]) -> None:
    data = resolve(DataTable.model_validate(content), datasets)
    training = {task.name: task.degradations for task in load_tasks(data.sets, (0.1, 0.9))}
    for task in load_tasks(data.validation_sets, (0.1, 0.9), held_out=True):
        assert training[task.name] == task.degradations


def test_three_five_and_three_weather_tasks(datasets: Path) -> None:
    def names(content: dict[str, object]) -> list[str]:
        data = resolve(DataTable.model_validate(content), datasets)
        return [task.name for task in load_tasks(data.sets, (0.1, 0.9))]

    assert [names(content) for content in RECIPES] == [
        ["noise_15", "noise_25", "noise_50", "rain", "haze"],
        ["noise_25", "rain", "haze", "motion_blur", "low_light"],
        ["raindrop", "snow", "rain"],
        ["night rain", "haze+jpeg"],
    ]


def test_every_layout_and_key_is_in_a_table() -> None:
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    first_cells = "\n".join(re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE))
    named = set(re.findall(r"`(\w+)`", first_cells))
    own = {"sampler", "cache_mb", "validation_crop_px", "validation_images", "check_duplicates"}
    assert named - {"layout"} == {*LAYOUTS, *SetTable.model_fields, *own} - {"layout"}
