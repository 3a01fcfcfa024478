"""What a run would do, found out without writing anything."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

from polyrestore.bulk.files import FileJob, named_for_content
from polyrestore.bulk.one_file import RestoreTask, describe_failure
from polyrestore.bulk.output_folder import OutputFolder
from polyrestore.bulk.places import Places
from polyrestore.bulk.report import PENDING_NAME, REPORT_NAME, Report
from polyrestore.files import sha256_of
from polyrestore.imaging import read_sizes, read_start
from polyrestore.imaging.read import require_size
from polyrestore.video.kinds import container_of, is_video
from polyrestore.video.reading import VideoReader

Action = Literal["restore", "skip", "fail"]


@dataclass(frozen=True)
class PlannedFile:
    """What a run would do with one file.

    Attributes:
        input: absolute path of the input.
        output: where the result would be, relative to the output folder; None where there would be none.
        action: "restore", "skip" (an earlier run restored it in the same way) or "fail".
        error: what would go wrong; None unless it would fail.
    """

    input: str
    output: str | None
    action: Action
    error: str | None = None


def plan_files(
    task: RestoreTask,
    jobs: Sequence[FileJob],
    output_folder: str | Path,
    *,
    identity: Mapping[str, Any],
    overwrite: bool = False,
) -> Iterator[PlannedFile]:
    """Say what :func:`~polyrestore.bulk.run.restore_files` would do with each file.

    Nothing is recognised or decoded: a file that is damaged beyond its head is planned to be restored. Those
    that are finished are read, because their bytes say so.

    Args:
        task: how files would be restored.
        jobs: what :func:`~polyrestore.bulk.files.find_jobs` found for this output folder.
        output_folder: left as it is; it may be missing.
        identity: what :meth:`~polyrestore.bulk.one_file.RestoreTask.identity` returns.
        overwrite: as for the run.

    Raises:
        OutputError: a later version wrote the report.
    """
    folder = Path(output_folder)
    with tempfile.TemporaryDirectory() as place:
        # A report is put in order when it is opened, which only its copy may be.
        for name in (REPORT_NAME, PENDING_NAME):
            if (folder / name).is_file():
                shutil.copy(folder / name, Path(place, name))
        with Report(Path(place)) as report:
            known = json.loads(json.dumps(identity))
            places = Places(
                OutputFolder(folder, jobs),
                jobs,
                report,
                identity=known,
                explain=task.explain,
                overwrite=overwrite,
            )
            for job in jobs:
                yield _plan(task, job, places)


def _plan(task: RestoreTask, job: FileJob, places: Places) -> PlannedFile:
    try:
        wanted = named_for_content(PurePath(job.output), read_start(job.input), task.format)
        name, finished = places.settle(job, wanted)
        if finished is not None and sha256_of(Path(job.input)) == finished.sha256:
            return PlannedFile(job.input, finished.output, "skip")
        places.require_target(name)
        if is_video(job.input, read_start(job.input)):
            VideoReader(Path(job.input)).facts()
            container_of(name)
            return PlannedFile(job.input, name.as_posix(), "restore")
        for size_px in read_sizes(job.input):
            require_size(size_px, Path(job.input), task.max_megapixels)
    except Exception as error:
        # As in a run, one odd file must not stop the others.
        return PlannedFile(job.input, None, "fail", describe_failure(Path(job.input), error).error)
    return PlannedFile(job.input, name.as_posix(), "restore")
