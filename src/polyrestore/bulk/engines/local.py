"""The engine of one process: files are restored here, one after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from polyrestore.bulk.any_file import restore_any
from polyrestore.bulk.one_file import RestoreTask, SettledJob
from polyrestore.bulk.record import FileRecord
from polyrestore.restoration.restorer import Restorer


def restore_here(
    task: RestoreTask, jobs: Iterable[SettledJob], restorer: Restorer | None = None
) -> Iterator[tuple[SettledJob, FileRecord]]:
    """Restore files in this process, each as soon as its result is asked for.

    Args:
        task: how.
        jobs: what.
        restorer: ``task.open()``, where that is at hand.

    Yields:
        each job with its record.

    Raises:
        PolyrestoreError: the task cannot be opened.
    """
    opened = restorer or task.open()
    for job in jobs:
        yield job, restore_any(task, job, opened)
