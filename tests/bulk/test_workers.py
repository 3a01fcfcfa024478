"""Workers: the same run as in one process, and what ends one of them costs its own file only."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path

import pytest

from polyrestore.bulk.engines import workers as engine
from polyrestore.bulk.engines.local import restore_here
from polyrestore.bulk.engines.shares import Share, fitting_workers, make_shares, usable_cores
from polyrestore.bulk.engines.worker import serve
from polyrestore.bulk.engines.workers import Workers
from polyrestore.bulk.files import find_jobs
from polyrestore.bulk.one_file import RestoreTask, SettledJob
from polyrestore.bulk.record import FileRecord
from polyrestore.bulk.run import Engine, RunSummary, restore_files
from polyrestore.errors import BundleError, DeviceError
from tests.bulk.fakes import images, make_image

# Stands for what kills processes from outside, when a result lies beside its place.
KILLED = """
import os, signal
from polyrestore.bulk import one_file

stage = one_file.stage_bytes

def stage_once(target, token, content):
    stage(target, token, content)
    seen = target.parents[1] / "seen"
    if target.name == "killed.png" and not seen.exists():
        seen.touch()
        os.kill(os.getpid(), signal.SIGKILL)

one_file.stage_bytes = stage_once
"""

SLOW = """
import time
from polyrestore.bulk import one_file

read = one_file.read_content

def read_slowly(path):
    if path.name == "slow.png":
        time.sleep(600)
    return read(path)

one_file.read_content = read_slowly
"""


def run(folder: Path, name: str, task: RestoreTask, restore: Engine) -> RunSummary:
    jobs = find_jobs([folder / "in"], folder / name, recursive=True)
    return restore_files(task, jobs, folder / name, restore, identity={"strength": 1.0})


def records(output: Path) -> dict[str, FileRecord]:
    lines = (output / "report.jsonl").read_text().splitlines()
    return {
        Path(record.input).name: replace(record, seconds=None) for record in map(FileRecord.from_line, lines)
    }


def test_a_worker_that_is_killed_costs_nothing_and_the_run_is_as_in_one_process(
    bundle: str, tmp_path: Path
) -> None:
    for number, name in enumerate(("a", "killed", "z")):
        make_image(tmp_path / f"in/{name}.png", 0.3 + number / 10)
    (tmp_path / "in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    plugin = tmp_path / "killed.py"
    plugin.write_text(KILLED)
    task = RestoreTask(bundle, "cpu", as_="rain")
    with Workers(replace(task, plugins=(str(plugin),)), [Share(1), Share(1)]) as workers:
        summary = run(tmp_path, "out", task, workers.restore)
    assert (summary.found, summary.restored, summary.skipped, summary.failed) == (4, 3, 0, 1)
    assert (tmp_path / "seen").exists()
    run(tmp_path, "here", task, restore_here)
    assert records(tmp_path / "here") == records(tmp_path / "out")
    assert images(tmp_path / "here") == images(tmp_path / "out") == ["a.png", "killed.png", "z.png"]
    for name in images(tmp_path / "here"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_workers_that_end_before_they_begin_end_the_run(
    monkeypatch: pytest.MonkeyPatch, bundle: str, tmp_path: Path
) -> None:
    make_image(tmp_path / "in/a.png")
    # Called in the new process with arguments that it does not take.
    monkeypatch.setattr(engine, "run_worker", os.getpid)
    task = RestoreTask(bundle, "cpu")
    with (
        Workers(task, [Share(1)]) as workers,
        pytest.raises(DeviceError, match="3 workers in a row ended .* by exit code 1; free some memory"),
    ):
        run(tmp_path, "out", task, workers.restore)
    assert images(tmp_path / "out") == []


def test_a_worker_says_that_it_is_open_then_tiles_and_records(bundle: str, tmp_path: Path) -> None:
    path = make_image(tmp_path / "a.png")
    task = RestoreTask(bundle, "cpu", as_="rain")
    ours, theirs = Pipe()
    thread = threading.Thread(target=serve, args=(theirs, pickle.dumps(task)))
    thread.start()
    with ours:
        assert ours.recv() is None
        ours.send(SettledJob(path, tmp_path, Path("b.png"), "01234567"))
        assert [ours.recv(), ours.recv()] == [(1, 2), (2, 2)]
        assert ours.recv().status == "restored"
    thread.join(timeout=60)
    assert not thread.is_alive()


def test_a_worker_says_what_keeps_it_from_being_opened(tmp_path: Path) -> None:
    for task, error in ((RestoreTask(str(tmp_path / "none")), BundleError), (None, DeviceError)):
        ours, theirs = Pipe()
        serve(theirs, pickle.dumps(task))
        assert type(ours.recv()) is error


def test_what_a_killed_worker_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    job = SettledJob(tmp_path / "a.png", tmp_path, Path("sub/a.png"), "01234567")
    left = [tmp_path / "sub/.part-01234567-1.png", tmp_path / "explained/sub/a.png/.part-01234567-0.png"]
    other = tmp_path / "sub/.part-76543210-0.png"
    for path in (*left, other):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    job.discard()
    assert [path.exists() for path in (*left, other)] == [False, False, True]


def test_threads_are_shared_and_gpus_are_taken_in_turn() -> None:
    assert make_shares(2, 8, "cpu") == [Share(4, "cpu")] * 2
    assert make_shares(3, 2, None) == [Share(1)] * 3
    assert [share.device for share in make_shares(3, 8, "cuda", gpus=2)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert [share.device for share in make_shares(2, 8, "cuda:1", gpus=2)] == ["cuda:1", "cuda:1"]
    assert usable_cores() >= 1


@pytest.mark.parametrize(("free", "count"), [(None, 4), (10**9, 4), (2 * 10**8, 2), (10**7, 1)])
def test_there_are_as_many_workers_as_fit_into_memory(free: int | None, count: int) -> None:
    assert fitting_workers(4, 10**8, free) == count


def test_an_interrupt_ends_the_workers_and_what_they_have_begun(bundle: str, tmp_path: Path) -> None:
    def interrupt(record: FileRecord) -> None:
        raise KeyboardInterrupt

    # Other tests may have left processes of their own.
    before = multiprocessing.active_children()
    for name in ("a", "b", "c"):
        make_image(tmp_path / f"in/{name}.png")
    task = RestoreTask(bundle, "cpu", as_="rain")
    jobs = find_jobs([tmp_path / "in"], tmp_path / "out", recursive=True)
    with Workers(task, [Share(1)]) as workers, pytest.raises(KeyboardInterrupt):
        restore_files(task, jobs, tmp_path / "out", workers.restore, identity={}, on_file=interrupt)
    assert set(multiprocessing.active_children()) <= set(before)
    assert images(tmp_path / "out") == ["a.png"]


def test_a_process_that_takes_too_long_is_killed(bundle: str, tmp_path: Path) -> None:
    for name in ("a", "slow", "z"):
        make_image(tmp_path / f"in/{name}.png")
    (tmp_path / "slow.py").write_text(SLOW)
    task = RestoreTask(bundle, "cpu", as_="rain", plugins=(str(tmp_path / "slow.py"),))
    with Workers(task, [Share(1)], timeout_s=3.0) as workers:
        summary = run(tmp_path, "out", task, workers.restore)
    assert (summary.found, summary.restored, summary.failed) == (3, 2, 1)
    assert [note.code for note in records(tmp_path / "out")["slow.png"].notes] == ["timeout"]
    assert images(tmp_path / "out") == ["a.png", "z.png"]
