import pytest
import torch
from safetensors import SafetensorError

from polyrestore.errors import OutputError
from polyrestore.training.loop import checkpoint
from polyrestore.training.loop.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


def made(step):
    return Checkpoint(step, {"parameters": {"weight": torch.full((3,), float(step))}}, "{}")


def test_a_full_disk_costs_no_older_checkpoint(tmp_path, monkeypatch):
    first = save_checkpoint(tmp_path, made(1))

    def full(*_):
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(tmp_path, made(2))
    assert [path.name for path in tmp_path.iterdir()] == [first.name]
    assert load_checkpoint(first).step == 1


def test_the_two_newest_stay_and_later_ones_of_an_abandoned_run_go(tmp_path):
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, made(step))
    assert sorted(load_checkpoint(path).step for path in tmp_path.iterdir()) == [10, 15]
    save_checkpoint(tmp_path, made(4))
    assert [load_checkpoint(path).step for path in tmp_path.iterdir()] == [4]
