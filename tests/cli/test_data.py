import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome
from tests.data.test_duplicates import scene
from tests.support.set_trees import TREES, plant


def test_inspect_shows_layout_split_task_and_counts(call: Callable[..., Outcome], tmp_path: Path) -> None:
    for name in ("LOL", "BSD400"):
        plant(tmp_path / "all" / name, *TREES[name][1])
    outcome = call("data", "inspect", tmp_path / "all", "--json")
    assert outcome.code == 0
    found = {(e["layout"], e["split"], e["task"], e["samples"]) for e in json.loads(outcome.out)["sets"]}
    assert found == {
        ("lol", "train", "low_light", 1),
        ("lol", "test", "low_light", 1),
        ("clean", "all", "", 2),
    }
    outcome = call("data", "inspect", tmp_path / "all")
    assert "our485" in outcome.out
    assert "(to be named)" in outcome.out


def test_inspect_takes_the_folder_that_one_is_in(
    call: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plant(tmp_path / "LOL", *TREES["LOL"][1]))
    outcome = call("data", "inspect", ".")
    assert outcome.code == 0
    assert str(tmp_path) not in outcome.out
    assert "eval15" in outcome.out


def test_inspect_names_what_is_missing_in_one_line(call: Callable[..., Outcome], tmp_path: Path) -> None:
    plant(tmp_path / "LOL/our485", "low/1.png", "high/1.png", "low/2.png")
    outcome = call("data", "inspect", tmp_path / "LOL")
    assert outcome.code == 1
    assert outcome.err.startswith("error: 1 images of ")
    assert "low/2.png" in outcome.err
    assert outcome.err.count("\n") == 1
    assert call("data", "inspect", tmp_path / "LOL", "--layout", "lool").code == 1


def test_check_passes_sound_sets_and_fails_on_copies(call: Callable[..., Outcome], tmp_path: Path) -> None:
    for seed, name in ((1, "mine/1.png"), (2, "mine/2.png"), (3, "theirs/3.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        scene(seed).save(tmp_path / name)
    outcome = call("data", "check", tmp_path / "mine", "--against", tmp_path / "theirs")
    assert outcome.code == 0
    assert outcome.out == "2 samples to train on, 1 held out: nothing wrong\n"
    scene(2).resize((80, 60)).save(tmp_path / "theirs" / "copy.jpg", quality=50)
    outcome = call("data", "check", tmp_path / "mine", "--against", tmp_path / "theirs", "--json")
    assert outcome.code == 1
    (problem,) = json.loads(outcome.out)["problems"]
    assert problem["kind"] == "duplicate"
    assert problem["file"].endswith("2.png")
    assert problem["other"].endswith("copy.jpg")


def test_check_compares_the_splits_of_one_folder(call: Callable[..., Outcome], tmp_path: Path) -> None:
    for side in ("train/data/0_rain", "train/gt/0_clean", "test/data/5_rain", "test/gt/5_clean"):
        path = tmp_path / "RainDrop" / f"{side}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(1).save(path)
    outcome = call("data", "check", tmp_path / "RainDrop")
    assert outcome.code == 1
    assert "duplicate: " in outcome.out
    assert "1 samples to train on, 1 held out: 1 problem\n" in outcome.out


def test_packed_sets_can_be_inspected_and_checked(call: Callable[..., Outcome], tmp_path: Path) -> None:
    plant(tmp_path / "LOL", *TREES["LOL"][1])
    outcome = call("data", "pack", tmp_path / "LOL", "-o", tmp_path / "shards")
    assert outcome.code == 0
    assert outcome.out.startswith("2 samples in 1 shards, written to ")
    outcome = call("data", "inspect", tmp_path / "shards", "--json")
    found = {(e["layout"], e["split"], e["task"], e["kind"]) for e in json.loads(outcome.out)["sets"]}
    assert found == {("shards", split, "low_light", "pairs") for split in ("train", "test")}
    assert call("data", "check", tmp_path / "shards").code == 0
    outcome = call("data", "pack", tmp_path / "LOL", "-o", tmp_path / "shards")
    assert outcome.code == 1
    assert "there already" in outcome.err
