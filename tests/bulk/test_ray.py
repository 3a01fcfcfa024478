"""A cluster: the same run as in one process, and what ends an actor costs its own file only."""

from __future__ import annotations

import json
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.faults import CRASHES, KINDS, account, make_folder
from polyrestore.bulk.engines import ray as engine
from polyrestore.bulk.engines.local import restore_here
from polyrestore.bulk.engines.ray import Facts, RayWorkers, _Holder
from polyrestore.bulk.files import find_jobs
from polyrestore.bulk.one_file import RestoreTask, SettledJob
from polyrestore.bulk.run import restore_files
from polyrestore.errors import BundleError, DeviceError, MissingExtraError
from tests.bulk.fakes import make_image
from tests.bulk.test_workers import SLOW
from tests.support.clips import make_clip


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray in this process, with room for one actor; RayWorkers use it and leave it."""
    engine.set_up_environment()
    import ray

    engine.start_here(1)
    yield
    ray.shutdown()


def test_a_run_over_poisoned_files_is_as_in_one_process_and_is_continued(
    cluster: None, bundle: str, tmp_path: Path
) -> None:
    kinds = make_folder(tmp_path / "in", 16, len(KINDS), seed=1)
    (tmp_path / "crashes.py").write_text(
        CRASHES + SLOW.replace("read =", "other =").replace("read(", "other(")
    )
    make_image(tmp_path / "slow/slow.png")
    task = RestoreTask(bundle, "cpu", as_="rain", plugins=(str(tmp_path / "crashes.py"),))
    jobs = find_jobs([tmp_path / "in"], tmp_path / "out", recursive=True)
    slow = find_jobs([tmp_path / "slow"], tmp_path / "late", recursive=True)
    with RayWorkers(task, timeout_s=10.0) as workers:
        assert workers.describe() == "workers: 1 actor, of 1 CPU each, on this machine"
        identity = workers.facts.identity
        summary = restore_files(task, jobs, tmp_path / "out", workers.restore, identity=identity)
        assert (summary.found, summary.restored, summary.failed) == (16, 9, 7)
        # What crashes an actor would crash two more.
        harmless = [
            job for job in jobs if kinds[Path(job.input).relative_to(tmp_path / "in").as_posix()] != "crash"
        ]
        again = restore_files(task, harmless, tmp_path / "out", workers.restore, identity=identity)
        assert (again.found, again.skipped, again.failed) == (15, 9, 6)
        restore_files(task, slow, tmp_path / "late", workers.restore, identity=identity)
    results = account(tmp_path / "out", kinds, tmp_path / "in")
    assert len(results) == 9
    late = json.loads((tmp_path / "late/report.jsonl").read_text())
    assert (late["status"], late["note_codes"]) == ("failed", ["timeout"])
    plain = RestoreTask(bundle, "cpu", as_="rain")
    jobs = find_jobs([tmp_path / "in"], tmp_path / "here", recursive=True)
    restore_files(plain, jobs, tmp_path / "here", restore_here, identity={})
    for name in results:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_an_actor_says_what_it_has_opened_and_restores(bundle: str, tmp_path: Path) -> None:
    task = RestoreTask(bundle, "cpu", as_="rain")
    holder = _Holder(pickle.dumps(task))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    assert holder.open() == Facts(task.identity(task.open()), bare=False)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)
    job = SettledJob(make_image(tmp_path / "a.png"), tmp_path, PurePath("b.png"), "01234567")
    assert holder.restore(job).status == "restored"
    clip = SettledJob(make_clip(tmp_path / "a.mkv", 2), tmp_path, PurePath("b.mkv"), "01234568")
    assert holder.restore(clip).shots
    gone = replace(job, input=tmp_path / "none/a.png", source="memory://none/a.png", token="01234569")
    assert holder.restore(gone).error == "memory://none/a.png does not exist"
    assert isinstance(_Holder(pickle.dumps(RestoreTask(str(tmp_path / "none")))).open(), BundleError)


class FakeRay:
    """Answers at once with what a function says."""

    class exceptions:  # noqa: N801
        class OutOfMemoryError(Exception): ...

        class RayActorError(Exception): ...

        class WorkerCrashedError(Exception): ...

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.killed = 0
        self.gpus = 0

    def is_initialized(self) -> bool:
        return True

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 4.0, "GPU": self.gpus}

    def remote(self, **options: Any) -> Any:
        return lambda holder: SimpleNamespace(remote=lambda task: FakeActor())

    def wait(self, refs: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return (refs if self.answers else []), []

    def get(self, ref: object) -> object:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception) and not isinstance(answer, BundleError):
            raise answer
        return answer

    def kill(self, handle: object) -> None:
        self.killed += 1


class FakeActor:
    """An actor of which every method answers with a reference of its own."""

    class open:  # noqa: N801
        remote = staticmethod(lambda *_: object())

    restore = open


def workers_of(fake: FakeRay, monkeypatch: pytest.MonkeyPatch, device: str | None = None) -> RayWorkers:
    monkeypatch.setitem(sys.modules, "ray", fake)
    return RayWorkers(RestoreTask(device=device))


def test_actors_have_a_gpu_each_or_a_cpu_and_one_cpu_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = Facts({"device": "cpu"}, bare=False)
    with workers_of(FakeRay(facts), monkeypatch) as workers:
        assert workers.describe() == "workers: 3 actors, of 1 CPU each, on this machine"
    fake = FakeRay(facts)
    fake.gpus = 2
    with workers_of(fake, monkeypatch) as workers:
        assert workers.describe() == "workers: 2 actors, of 1 GPU each, on this machine"
    assert fake.killed == 1
    fake = FakeRay(facts)
    fake.gpus = 2
    with workers_of(fake, monkeypatch, "cpu") as workers:
        assert "3 actors" in workers.describe()


def test_what_keeps_actors_from_beginning_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = FakeRay.exceptions.RayActorError("long\n  No module named 'polyrestore'\n")
    cases: list[tuple[list[object], str]] = [
        ([dead] * 3, "3 workers in a row .* by No module named 'polyrestore'; free"),
        ([FakeRay.exceptions.OutOfMemoryError()] * 3, "by Ray, for want of memory"),
        ([ValueError("odd")], "an actor cannot restore: odd"),
        ([BundleError("no bundle")], "no bundle"),
    ]
    for answers, message in cases:
        with pytest.raises((DeviceError, BundleError), match=message):
            workers_of(FakeRay(*answers), monkeypatch).__enter__()
    monkeypatch.setattr(engine, "_SECONDS_TO_START", 0.0)
    with pytest.raises(DeviceError, match="Ray has started no actor within 0 s; free are 4 CPUs"):
        workers_of(FakeRay(), monkeypatch).__enter__()


def test_machines_that_differ_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(
        Facts({"device": "cpu", "as": None}, bare=False), Facts({"device": "cuda", "as": None}, bare=False)
    )
    with workers_of(fake, monkeypatch) as workers:
        workers.workers.append(workers.start())
        with pytest.raises(DeviceError, match="differ in device; all need the same"):
            workers.hear(None)


def test_a_cluster_that_is_not_there_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(DeviceError, match=f"no Ray cluster at {address}: .*; is it running there"):
            engine._require_answer(address)
        taken.listen()

        def run(*arguments: Any, timeout: float, **options: Any) -> Any:
            raise subprocess.TimeoutExpired("ray", timeout)

        monkeypatch.setattr(subprocess, "run", run)
        with pytest.raises(DeviceError, match="it took longer than 60 s to answer"):
            engine._require_answer(address)
        failed = subprocess.CompletedProcess([], 1, b"", b"trace\nnobody\n")
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
        with pytest.raises(DeviceError, match=f"no Ray cluster at {address}: nobody"):
            engine._require_answer(address)
    engine._require_answer("auto")


def test_ray_is_started_again_where_it_did_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[None] = []

    def init(**options: object) -> None:
        raise OSError("trace\ntimed out")

    fake = SimpleNamespace(init=init, shutdown=lambda: ended.append(None))
    monkeypatch.setitem(sys.modules, "ray", fake)
    with pytest.raises(DeviceError, match="Ray cannot be started here: timed out"):
        engine.start_here(1)
    assert len(ended) == 3


def test_a_missing_ray_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"--engine ray needs ray: pip install 'polyrestore\[ray\]'"):
        RayWorkers(RestoreTask())


def test_ray_does_not_change_what_signals_do() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with engine._keep_signals():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) == before
