"""Engines: where files are restored, and in which order they come back, changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path

import pytest

from polyrestore.bulk.engines.local import restore_here
from polyrestore.bulk.files import find_jobs
from polyrestore.bulk.one_file import RestoreTask, SettledJob, restore_file
from polyrestore.bulk.record import FileRecord
from polyrestore.bulk.run import Engine, restore_files
from polyrestore.errors import BundleError
from tests.bulk.fakes import images, lines, make_image

Done = tuple[SettledJob, FileRecord]


def restore_in(worker: Pool, task: RestoreTask, jobs: Iterable[SettledJob]) -> Iterator[Done]:
    """Take all jobs before the first one is done, and give them back from the last to the first."""
    begun = [(job, worker.apply_async(restore_file, (task, job))) for job in jobs]
    for job, record in reversed(begun):
        yield job, record.get(timeout=120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_image(tmp_path / "in/a.png", 0.3)
    make_image(tmp_path / "in/b.png", 0.5).rename(tmp_path / "in/a.jpg")
    make_image(tmp_path / "in/sub/c.tif", 0.7, bit_depth=16)
    (tmp_path / "in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "in/empty.png").write_bytes(b"")
    return tmp_path


def run(folder: Path, name: str, task: RestoreTask, engine: Engine) -> dict[str, str]:
    """Restore a folder twice, and return the lines of the report by input, without times."""
    jobs = find_jobs([folder / "in"], folder / name, recursive=True)
    for restored, skipped in ((3, 0), (0, 3)):
        summary = restore_files(task, jobs, folder / name, engine, identity={"strength": 1.0})
        counts = (summary.found, summary.restored, summary.skipped, summary.failed)
        assert counts == (5, restored, skipped, 2)
    assert len(lines(folder / name)) == 5
    records = [
        FileRecord.from_line(line) for line in (folder / name / "report.jsonl").read_text().splitlines()
    ]
    return {record.input: replace(record, seconds=None).to_line() for record in records}


def test_an_engine_in_another_process_gives_the_same_run(worker: Pool, bundle: str, folder: Path) -> None:
    task = RestoreTask(bundle, "cpu", as_="rain", explain=True)
    here = run(folder, "here", task, restore_here)
    there = run(folder, "there", task, partial(restore_in, worker))
    assert here == there
    names = images(folder / "here")
    assert names == images(folder / "there")
    assert [name for name in names if not name.startswith("explained/")] == ["a-2.png", "a.png", "sub/c.tif"]
    for name in names:
        assert (folder / "here" / name).read_bytes() == (folder / "there" / name).read_bytes()


def test_a_task_that_cannot_be_opened_ends_the_run_before_it_begins(folder: Path) -> None:
    task = RestoreTask(str(folder / "no-bundle"), "cpu")
    jobs = find_jobs([folder / "in"], folder / "out", recursive=True)
    with pytest.raises(BundleError):
        restore_files(task, jobs, folder / "out", restore_here, identity={})
    assert images(folder / "out") == []
    assert lines(folder / "out") == []
