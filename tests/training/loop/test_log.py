import json
from pathlib import Path

import pytest
import torch

from polyrestore.errors import OutputError
from polyrestore.training.loop.log import RunLog
from polyrestore.training.run import run_recipe


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_a_run_that_goes_on_drops_what_it_will_write_again(tmp_path: Path) -> None:
    log = RunLog(tmp_path, enabled=True, first_step=0, tensorboard=False)
    for step in (1, 2, 3, 4):
        log.losses(("noise",), torch.ones(3, 1), step)
    with open(log.path, "a") as stream:
        stream.write('{"event": "losses", "st')
    RunLog(tmp_path, enabled=True, first_step=2, tensorboard=False).validation(2, {"mean": 30.0})
    assert steps(log.path) == [1, 2, 2]
    RunLog(tmp_path, enabled=True, first_step=0, tensorboard=False)
    assert steps(log.path) == []


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "new", enabled=False, first_step=0, tensorboard=True)
    log.losses(("noise",), torch.ones(3, 1), 1)
    log.validation(1, {})
    log.close()
    assert not (tmp_path / "new").exists()


def test_losses_and_weights_are_means_over_the_tasks_samples(tmp_path: Path) -> None:
    log = RunLog(tmp_path, enabled=True, first_step=0, tensorboard=False)
    running = torch.tensor([[0.6, 0.1, 0.0], [3.0, 1.0, 0.0], [1.5, 0.5, 0.0]])
    log.losses(("noise", "jpeg", "rain"), running, 7, learning_rate=0.5)
    record = json.loads(log.path.read_text())
    assert record["losses"] == pytest.approx({"noise": 0.2, "jpeg": 0.1})
    assert record["mean"] == pytest.approx(0.15)
    assert record["weights"] == pytest.approx({"noise": 0.75, "jpeg": 0.25, "rain": 0})
    assert record["learning_rate"] == 0.5


def test_tensorboard_reads_the_scalars(workshop: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_recipe(workshop / "pretraining.toml", output_folder=workshop / "out", overrides=["tensorboard=true"])
    events = EventAccumulator(str(workshop / "out" / "tensorboard")).Reload()
    assert {"loss/noise", "weight/noise", "run/learning_rate", "validation/mean"} <= set(
        events.Tags()["scalars"]
    )
    assert [each.step for each in events.Scalars("validation/mean")] == [3, 6]


def test_a_log_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run", enabled=True, first_step=0, tensorboard=False)
    log.path.unlink()
    log.path.mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        log.write(event="start")
