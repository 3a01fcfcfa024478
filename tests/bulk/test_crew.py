"""A crew of workers that are told when to speak: who gets which file, and which ones are given up."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path, PurePath

import pytest

from polyrestore.bulk.engines.crew import Crew, Ended, News, Opened, Worker
from polyrestore.bulk.one_file import RestoreTask, SettledJob
from polyrestore.bulk.record import FileRecord


class Told(Worker):
    """A worker that does nothing by itself."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.ended = False

    def begin(self, job: SettledJob) -> None:
        pass

    def end(self) -> None:
        self.ended = True


class Script(Crew[Told]):
    """What is heard is what a function says of each worker; time is what is waited for."""

    def __init__(
        self, most: int, says: Callable[[Told], News | None], timeout_s: float | None = None
    ) -> None:
        super().__init__(most, "process", timeout_s)
        self.says = says
        self.all: list[Told] = []

    def start(self) -> Told:
        self.all.append(Told(len(self.all)))
        return self.all[-1]

    def hear(self, wait_s: float | None) -> list[tuple[Told, News]]:
        found = [(worker, news) for worker in self.workers if (news := self.says(worker)) is not None]
        if not found:
            assert wait_s is not None, "nobody will ever speak"
            time.sleep(wait_s)
        return found


def job(name: str, folder: Path) -> SettledJob:
    return SettledJob(folder / name, folder, PurePath(name), "01234567")


def restored(worker: Told) -> FileRecord:
    assert worker.job is not None
    return FileRecord(str(worker.job.input), worker.job.output.name, "restored")


def run(crew: Script, folder: Path, *names: str) -> dict[str, FileRecord]:
    found = crew.restore(RestoreTask(), [job(name, folder) for name in names])
    return {done.output.name: record for done, record in found}


def test_a_file_that_takes_too_long_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    def says(worker: Told) -> News | None:
        if not worker.is_open:
            return Opened()
        return None if worker.job is None or worker.job.output.name == "slow" else restored(worker)

    crew = Script(1, says, timeout_s=0.05)
    left = tmp_path / ".part-01234567-0"
    left.touch()
    found = run(crew, tmp_path, "a", "slow", "z")
    assert [record.status for record in found.values()] == ["restored", "failed", "restored"]
    assert [note.code for note in found["slow"].notes] == ["timeout"]
    assert found["slow"].error == f"{tmp_path / 'slow'}: took longer than 0.05 s (--timeout)"
    assert [worker.ended for worker in crew.all] == [True, False]
    assert not left.exists()


def test_the_time_of_a_file_begins_when_its_worker_is_open(tmp_path: Path) -> None:
    opened = time.monotonic() + 0.1

    def says(worker: Told) -> News | None:
        if not worker.is_open:
            time.sleep(0.01)
            return Opened() if time.monotonic() > opened else (0, 1)
        return None if worker.job is None else restored(worker)

    assert run(Script(1, says, timeout_s=0.05), tmp_path, "a")["a"].status == "restored"


def test_a_worker_that_does_not_open_gives_its_file_back(tmp_path: Path) -> None:
    def says(worker: Told) -> News | None:
        if worker.number:
            return None
        if not worker.is_open:
            return Opened()
        return None if worker.job is None else restored(worker)

    crew = Script(2, says)
    assert {record.status for record in run(crew, tmp_path, "a", "b", "c").values()} == {"restored"}
    assert [worker.ended for worker in crew.all] == [False, True]


@pytest.mark.parametrize("ends", [1, 2])
def test_a_file_is_tried_twice_alone_and_in_a_new_worker(tmp_path: Path, ends: int) -> None:
    ended: list[Told] = []

    def says(worker: Told) -> News | None:
        if not worker.is_open:
            return Opened()
        if worker.job is None:
            return None
        if worker.job.output.name == "bad" and len(ended) < ends:
            ended.append(worker)
            return Ended("SIGSEGV")
        return restored(worker)

    found = run(Script(2, says), tmp_path, "bad", "b", "c")
    assert list(found) == ["b", "c", "bad"]
    assert found["bad"].status == ("restored" if ends == 1 else "failed")
    assert ["crashed" for _ in found["bad"].notes] == ["crashed"] * (ends - 1)
    assert len({worker.number for worker in ended}) == ends
