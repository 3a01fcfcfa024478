"""A file of a run, whatever it is and wherever it lies: what engines call."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from polyrestore.bulk.one_file import RestoreTask, SettledJob, describe_failure, restore_file
from polyrestore.bulk.one_video import restore_video_file
from polyrestore.bulk.output_store import bring
from polyrestore.bulk.record import FileRecord
from polyrestore.errors import ImageError
from polyrestore.imaging import read_start
from polyrestore.notes import Note
from polyrestore.restoration.restorer import Restorer
from polyrestore.storage.urls import Store
from polyrestore.video.kinds import is_video


def restore_any(task: RestoreTask, job: SettledJob, restorer: Restorer | None = None) -> FileRecord:
    """Restore one image or video; see :func:`~polyrestore.bulk.one_file.restore_file`.

    What lies behind a URL is fetched first, and what is to be there is brought after: beside its place, under
    a temporary name, as it would lie beside it here.

    Args:
        task: how.
        job: what.
        restorer: ``task.open()``; opened here if it is None.

    Raises:
        PolyrestoreError: the task cannot be opened.
    """
    restorer = restorer or task.open()
    if job.scratch is None:
        return _restore_here(task, job, restorer)
    try:
        with _private_folder(job.scratch):
            if job.source is not None:
                job.input.parent.mkdir(parents=True)
                Store(job.source).fetch(job.input)
            record = _with_urls(job, _restore_here(task, job, restorer))
            if job.store is not None and record.status == "restored":
                bring(job, record)
            return record
    except Exception as error:
        return describe_failure(job.shown, error)


def _restore_here(task: RestoreTask, job: SettledJob, restorer: Restorer) -> FileRecord:
    try:
        video = is_video(job.input, read_start(job.input))
    except ImageError as error:
        return describe_failure(job.input, error)
    return (restore_video_file if video else restore_file)(task, job, restorer)


@contextlib.contextmanager
def _private_folder(path: Path) -> Iterator[None]:
    # One that was killed in the midst of the file has left it.
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _with_urls(job: SettledJob, record: FileRecord) -> FileRecord:
    """Return a record that calls the files what the user calls them."""

    def named(text: str) -> str:
        if job.source is not None:
            text = text.replace(str(job.input), job.source)
        return text if job.store is None else text.replace(str(job.folder), job.store)

    return replace(
        record,
        input=job.shown,
        error=None if record.error is None else named(record.error),
        notes=tuple(Note(note.code, named(note)) for note in record.notes),
    )
