"""A file of a run, whatever it is: what engines call."""

from __future__ import annotations

from polyrestore.bulk.one_file import RestoreTask, SettledJob, describe_failure, restore_file
from polyrestore.bulk.one_video import restore_video_file
from polyrestore.bulk.record import FileRecord
from polyrestore.errors import ImageError
from polyrestore.imaging import read_start
from polyrestore.restoration.restorer import Restorer
from polyrestore.video.kinds import is_video


def restore_any(task: RestoreTask, job: SettledJob, restorer: Restorer | None = None) -> FileRecord:
    """Restore one image or video; see :func:`~polyrestore.bulk.one_file.restore_file`.

    Args:
        task: how.
        job: what.
        restorer: ``task.open()``; opened here if it is None.

    Raises:
        PolyrestoreError: the task cannot be opened.
    """
    restorer = restorer or task.open()
    try:
        video = is_video(job.input, read_start(job.input))
    except ImageError as error:
        return describe_failure(job.input, error)
    return (restore_video_file if video else restore_file)(task, job, restorer)
