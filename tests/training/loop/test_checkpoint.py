import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from safetensors import SafetensorError

from polyrestore.errors import OutputError, TrainingError
from polyrestore.training.loop import checkpoint
from polyrestore.training.loop.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_newest_checkpoint,
    same_recipe,
    save_checkpoint,
)
from polyrestore.training.recipes.recipe import PretrainingRecipe


def recipe(data: Mapping[str, object] = MappingProxyType({}), **keys: object) -> PretrainingRecipe:
    table = {"clean": ["photographs"], "validation": "held-out", **data}
    return PretrainingRecipe.model_validate(
        {"phase": "pretraining", "name": "night", "steps": 4, "data": table, **keys}
    )


def made(step: int) -> Checkpoint:
    return Checkpoint(step, {"parameters": {"weight": torch.full((3,), float(step))}}, "{}")


def test_a_full_disk_costs_no_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = save_checkpoint(tmp_path, made(1))

    def full(*_: object) -> None:
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(tmp_path, made(2))
    assert [path.name for path in tmp_path.iterdir()] == [first.name]
    assert load_checkpoint(first).step == 1


def test_the_two_newest_stay_and_later_ones_of_an_abandoned_run_go(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, made(step))
    assert sorted(load_checkpoint(path).step for path in tmp_path.iterdir()) == [10, 15]
    save_checkpoint(tmp_path, made(4))
    assert [load_checkpoint(path).step for path in tmp_path.iterdir()] == [4]


def damage(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("fault", ["changed", "cut", "empty"])
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(tmp_path: Path, fault: str) -> None:
    save_checkpoint(tmp_path, made(5))
    newest = save_checkpoint(tmp_path, made(10))
    if fault == "changed":
        damage(newest, -1)
    else:
        newest.write_bytes(newest.read_bytes()[: 100 if fault == "cut" else 0])
    found, messages = load_newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 5
    assert len(messages) == 1
    assert newest.name in messages[0]
    assert "going on from the one before" in messages[0]
    assert "\n" not in messages[0]


def test_checkpoints_that_are_all_damaged_are_refused(tmp_path: Path) -> None:
    damage(save_checkpoint(tmp_path, made(5)), -1)
    with pytest.raises(TrainingError, match="damaged.*start --fresh"):
        load_newest_checkpoint(tmp_path)


def test_a_folder_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert load_newest_checkpoint(tmp_path) == (None, ())


def test_a_mended_name_licence_or_provenance_keeps_checkpoints_usable(tmp_path: Path) -> None:
    first = recipe(name="night", licence="MIT", seed=1, data={"provenance": ["a"], "workers": 3})
    second = recipe(name="day", licence="CC0-1.0", seed=1, checkpoint_every=7)
    assert same_recipe(first.model_dump_json(), second)
    assert not same_recipe(first.model_dump_json(), second.model_copy(update={"seed": 2}))


def test_a_key_that_a_checkpoint_does_not_have_has_its_default() -> None:
    current = recipe(optimiser={"ema_decay": 0.999}, data={"zoom_in": 1.0})
    saved = current.model_dump(mode="json")
    del saved["optimiser"], saved["data"]["zoom_in"], saved["data"]["sets"]
    assert same_recipe(json.dumps(saved), current)
    assert not same_recipe(json.dumps(saved), recipe(data={"zoom_in": 1.5}))


def test_what_is_no_recipe_of_this_phase_is_another_one() -> None:
    current = recipe()
    saved = current.model_dump(mode="json")
    assert not same_recipe(json.dumps({**saved, "gone_key": 1}), current)
    assert not same_recipe(json.dumps({**saved, "phase": "recogniser"}), current)
    assert not same_recipe("{}", current)
