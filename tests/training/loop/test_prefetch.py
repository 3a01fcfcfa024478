import json
import multiprocessing
import sys
from pathlib import Path

import pytest
import torch

from polyrestore.data import Batch
from polyrestore.errors import DataError
from polyrestore.training.loop.job import Job
from polyrestore.training.loop.prefetch import batches
from polyrestore.training.phases.restoration_job import RestorationJob
from polyrestore.training.reading import load_recipe
from polyrestore.training.recipes.batches import training_source
from polyrestore.training.run import run_recipe


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_and_are_the_same_for_any_number_of_workers(
    workshop: Path, workers: int
) -> None:
    source = training_source(load_recipe(workshop / "pretraining.toml"))

    class Plain(Job):
        def batch(self, step: int, rank: int) -> Batch:
            return source.batch(step, rank)

    for index, batch in zip(range(3, 8), batches(Plain(), range(3, 8), 1, workers), strict=True):
        expected = source.batch(index, 1)
        assert torch.equal(batch.degraded, expected.degraded)
        assert torch.equal(batch.task, expected.task)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_arrives_whole(workers: int) -> None:
    class Broken(Job):
        def batch(self, step: int, rank: int) -> Batch:
            raise DataError(f"cannot read number {step}")

    with pytest.raises(DataError, match=r"^cannot read number 4$"):
        next(batches(Broken(), range(4, 9), 0, workers))


@pytest.mark.skipif(sys.platform != "linux", reason="only there are workers forked")
def test_workers_share_what_the_job_has_read_whatever_python_would_do() -> None:
    class Holding(Job):
        # A class of a function cannot be sent to another process, only be there already.
        def batch(self, step: int, rank: int) -> Batch:
            empty = torch.full((1, 3, 2, 2), float(step))
            return Batch(empty, empty, torch.zeros(1, dtype=torch.long), torch.ones(1, 1))

    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        made = next(batches(Holding(), range(7, 8), 0, 1))
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert set(made.degraded.flatten().tolist()) == {7.0}


def test_a_run_may_go_on_with_workers(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = workshop / "pretraining.toml"
    run_recipe(recipe, output_folder=workshop / "whole")
    make = RestorationJob.batch

    def dying(self: RestorationJob, step: int, rank: int) -> Batch:
        if step == 3:
            raise DataError("gone")
        return make(self, step, rank)

    with monkeypatch.context() as patch:
        patch.setattr(RestorationJob, "batch", dying)
        with pytest.raises(DataError):
            run_recipe(recipe, output_folder=workshop / "killed", overrides=["data.workers=1"])
    run_recipe(recipe, output_folder=workshop / "killed", overrides=["data.workers=2"])

    def losses(folder: Path) -> list[dict[str, float]]:
        records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return [record["losses"] for record in records if record["event"] == "losses"]

    assert losses(workshop / "killed") == losses(workshop / "whole")
