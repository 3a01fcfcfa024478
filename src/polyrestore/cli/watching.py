"""``--watch``: folders are kept restored as files arrive in them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polyrestore.cli.account import Account
from polyrestore.cli.common import open_task
from polyrestore.cli.progress import RunProgress
from polyrestore.cli.terminal import note_line, progress_line
from polyrestore.cli.workers import make_all_shares, open_engine

if TYPE_CHECKING:
    from polyrestore.bulk.one_file import RestoreTask


def watch_folders(
    task: RestoreTask,
    folders: Sequence[Path],
    output: Path,
    number: int | None,
    timeout_s: float | None = None,
    *,
    recursive: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Restore what arrives in folders until a signal comes, and then say what became of it.

    Each time that there are complete files, they are a run of their own, so that all that holds for runs
    holds here.

    Args:
        task: how files are restored.
        folders: to be watched.
        output: the output folder.
        number: of workers, from :func:`~polyrestore.cli.workers.workers_number`.
        timeout_s: how long one file may take.
        recursive: whether folders within folders are watched.
        overwrite: whether files that no run wrote may be replaced.
        as_json: print JSON at the end.

    Raises:
        Exit: a file failed, or the signal came while files were being restored.
        PolyrestoreError: nothing can be restored, or the report cannot be written.
    """
    from polyrestore.bulk.arrivals import SECONDS_TO_SETTLE, Arrivals
    from polyrestore.bulk.run import restore_files

    arrivals = Arrivals(folders, output, recursive=recursive, settle_s=SECONDS_TO_SETTLE)
    task, restorer = open_task(task)
    identity = task.identity(restorer)
    shares = make_all_shares(number, task, restorer)
    progress = RunProgress(0)
    account = Account(progress, output, None, arrivals.left_out, task.explain, restorer.is_bare, as_json)
    progress_line(f"watching {', '.join(map(str, folders))}; Ctrl-C ends it")
    opening = open_engine(task, restorer, shares, progress.on_tile, timeout_s)
    try:
        with progress.shown(), opening as engine:
            while True:
                jobs = arrivals.take()
                if not jobs:
                    time.sleep(arrivals.pause_s())
                    continue
                progress.add(len(jobs))
                restore_files(
                    task,
                    jobs,
                    output,
                    engine,
                    identity=identity,
                    overwrite=overwrite,
                    on_file=progress.on_file,
                    on_notice=note_line,
                )
    except KeyboardInterrupt as stop:
        if progress.counts.total() < progress.found:
            account.interrupted(stop)
    if arrivals.waiting:
        note_line(f"{arrivals.waiting} file{'s' * (arrivals.waiting != 1)} not complete yet")
    account.finished()
