"""``restore --workers``: named or chosen, and the same as without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from polyrestore import devices
from polyrestore.bulk import estimate
from polyrestore.bulk.engines import shares
from polyrestore.bulk.engines import workers as engine
from polyrestore.bulk.engines.workers import Workers
from polyrestore.bulk.estimate import Estimate
from polyrestore.bulk.one_file import RestoreTask
from polyrestore.cli import estimating, progress, workers
from polyrestore.cli.estimating import RunPlan
from polyrestore.cli.workers import plan_run
from polyrestore.errors import DeviceMemoryError
from tests.cli.conftest import Outcome

Call = Callable[..., Outcome]


def test_two_workers_say_and_write_what_one_process_does(
    call: Call, bundle: str, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 1e9)
    (photographs / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    arguments = ("restore", photographs, "-r", "--bundle", bundle, "--as", "rain", "--keep-times", "-o")
    here = call(*arguments, tmp_path / "here")
    there = call(*arguments, tmp_path / "there", "--workers", 2)
    assert (here.code, there.code) == (1, 1)
    assert here.err == there.err
    rows = [[line.split()[:4] for line in each.out.splitlines()[:6]] for each in (here, there)]
    assert rows[0] == rows[1]
    assert "4 found: 3 restored, 0 skipped, 1 failed" in there.out
    for name in ("a.png", "b.jpg", "sub/c.png"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
        assert (tmp_path / "there" / name).stat().st_mtime_ns == (photographs / name).stat().st_mtime_ns
    assert "3 skipped" in call(*arguments, tmp_path / "there").out


@pytest.mark.parametrize("given", ["0", "-1", "two", "1025", "²"])
def test_a_number_of_workers_that_cannot_be_is_refused(
    call: Call, photographs: Path, tmp_path: Path, given: str
) -> None:
    outcome = call("restore", photographs, "-o", tmp_path / "out", "--workers", given)
    assert outcome.code == 2
    assert "must be from 1 to 1024 or auto" in outcome.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", ["0", "-1", "inf", "nan"])
def test_a_time_limit_that_cannot_be_is_refused(
    call: Call, photographs: Path, tmp_path: Path, given: str
) -> None:
    outcome = call("restore", photographs, "-o", tmp_path / "out", "--timeout", given)
    assert (outcome.code, "must be above 0" in outcome.err) == (2, True)
    assert not (tmp_path / "out").exists()


def test_a_time_limit_without_workers_starts_one(bundle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []

    class Told(Workers):
        def __init__(self, *arguments: object) -> None:
            given.extend(arguments[1:])
            super().__init__(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "Workers", Told)
    task = RestoreTask(bundle, "cpu")
    with workers.open_engine(task, task.open(), (), print, 7.0):
        assert given == [[shares.Share(shares.usable_cores(), "cpu")], print, 7.0]


def test_auto_takes_as_many_as_memory_allows_and_says_why(
    call: Call, bundle: str, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = RestoreTask(bundle, "cpu", as_="rain")
    restorer = task.open()
    paths = [str(photographs / name) for name in ("a.png", "b.jpg", "sub/c.png")]
    measured = Estimate(900_000_000, 400_000_000, 12.0, 3, 0.0014, 64)
    monkeypatch.setattr(estimate, "estimate", lambda *arguments, **options: measured)
    monkeypatch.setattr(shares, "usable_cores", lambda: 4)

    def plan(number: int | None, free_bytes: int) -> RunPlan:
        monkeypatch.setattr(devices, "available_bytes", lambda device: free_bytes)
        return plan_run(number, task, restorer, paths, {"rain": 1.0})

    small = plan(None, 10**12)
    assert (small.shares, small.told) == ((), "workers: this process alone, for 0.0 megapixels")
    monkeypatch.setattr(workers, "_LEAST_FOR_WORKERS", 0.001)
    many = plan(None, 10**12)
    assert many.shares == [shares.Share(1, "cpu")] * 3
    why = "4 cores, 1000.0 GB of memory free, about 0.9 GB for each"
    assert many.told == f"workers: 3, of 1 thread each ({why})"
    assert many.estimate is None
    assert plan(None, 2_000_000_000).shares == [shares.Share(2, "cpu")] * 2
    alone = plan(None, 1_000_000_000)
    assert (alone.shares, str(alone.told)[:29]) == ((), "workers: this process alone (")

    monkeypatch.setattr(estimating, "_LARGE_MEGAPIXELS", 0.0005)
    named = plan(2, 10**12)
    assert named.told is None
    assert named.estimate == replace(measured, memory_bytes=2_300_000_000, needed_bytes=1_800_000_000)
    with pytest.raises(DeviceMemoryError, match=r"in each of 2 workers needs about 1\.8 GB"):
        plan(2, 1_000_000_000)
    assert measured.for_workers(4, devices=2).seconds == 6.0

    arguments = ("restore", photographs, "-r", "-o", photographs / "out", "--bundle", bundle, "--dry-run")
    told = call(*arguments, "--workers", "auto").out
    assert "workers: this process alone (4 cores, 1.0 GB of memory free, " in told
    assert "estimate: 3 files, 0 megapixels, 0.9 GB of memory, " in told
    assert "2.3 GB of memory, at most about 12 s on cpu" in call(*arguments, "--workers", 2).out
