"""A run over poisoned files that is killed: its workers end too, and another run brings it to its end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

import polyrestore
from benchmarks.faults import CRASHES, KINDS, account, make_folder, results_told, workers_of
from polyrestore.bulk.engines.local import restore_here
from polyrestore.bulk.engines.shares import Share
from polyrestore.bulk.engines.workers import Workers
from polyrestore.bulk.files import find_jobs
from polyrestore.bulk.one_file import RestoreTask
from polyrestore.bulk.run import Engine, RunSummary, restore_files
from polyrestore.errors import PolyrestoreError

KILLED = """
import sys
from tests.bulk.test_killed_workers import restore_with_a_worker

if __name__ == "__main__":
    restore_with_a_worker(*sys.argv[1:])
"""


def run(source: Path, output: Path, task: RestoreTask, engine: Engine) -> RunSummary:
    jobs = find_jobs([source], output, recursive=True)
    return restore_files(task, jobs, output, engine, identity={"strength": 1.0})


def report(output: Path) -> str:
    return (output / "report.jsonl").read_text()


def restore_with_a_worker(bundle: str, folder: str) -> RunSummary:
    place = Path(folder)
    task = RestoreTask(bundle, "cpu", as_="rain", plugins=(str(place / "crashes.py"),))
    with Workers(task, [Share(1)]) as workers:
        return run(place / "in", place / "out", task, workers.restore)


def test_a_killed_run_over_poisoned_files_is_ended_by_another(bundle: str, tmp_path: Path) -> None:
    kinds = make_folder(tmp_path / "in", 20, len(KINDS), seed=1)
    assert Counter(kinds.values()) == {"whole": 13, **dict.fromkeys(KINDS, 1)}
    (crash,) = (name for name, kind in kinds.items() if kind == "crash")
    (tmp_path / "crashes.py").write_text(CRASHES)
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    places = (Path(polyrestore.__file__).parents[1], Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
    process = subprocess.Popen([sys.executable, str(script), bundle, str(tmp_path)], env=environment)
    deadline = time.monotonic() + 120
    while results_told(tmp_path / "out") < 5 or not (workers := workers_of(process.pid)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    assert 5 <= results_told(tmp_path / "out") < 13

    summary = restore_with_a_worker(bundle, str(tmp_path))
    assert (summary.found, summary.failed) == (20, 7)
    assert summary.skipped >= 5
    results = account(tmp_path / "out", kinds, tmp_path / "in")
    assert len(results) == 13
    endings = re.findall(r"the process that restored it was ended by (.*?), twice", report(tmp_path / "out"))
    assert set(endings) == {"SIGSEGV" if int(crash[2:6]) % 2 else "exit code 3"}
    here = run(tmp_path / "in", tmp_path / "here", RestoreTask(bundle, "cpu", as_="rain"), restore_here)
    # Without the plugin the file that crashes is an image with a little behind its end.
    assert (here.restored, here.failed) == (14, 6)
    for name in results:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()

    (tmp_path / "out" / next(iter(results))).unlink()
    with pytest.raises(PolyrestoreError, match="not accounted for"):
        account(tmp_path / "out", kinds, tmp_path / "in")
