"""Restore many files: account for each one, continue where an earlier run stopped, lose nothing."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from polyrestore.bulk.files import FileJob, named_for_content
from polyrestore.bulk.one_file import RestoreTask, SettledJob, describe_failure
from polyrestore.bulk.one_video import forget_video
from polyrestore.bulk.places import Places
from polyrestore.bulk.record import FileRecord, Status
from polyrestore.bulk.report import Report
from polyrestore.files import TEMPORARY_MARK, discard_staged, put_in_place
from polyrestore.imaging import read_start

_TEMPORARY_NAME = re.compile(re.escape(TEMPORARY_MARK) + r"[0-9a-f]{8}\b")

Engine = Callable[[RestoreTask, Iterable[SettledJob]], Iterable[tuple[SettledJob, FileRecord]]]
"""Where files are restored: takes jobs as it has room for them, and gives each back with its record.

All of them come back, in any order. Jobs are taken in the thread that asks for the records, since settling
the next one looks at the report.
"""


@dataclass(frozen=True)
class RunSummary:
    """How a run ended; ``found`` is always the sum of the other three counts."""

    found: int
    restored: int
    skipped: int
    failed: int
    seconds: float
    report: Path


def restore_files(
    task: RestoreTask,
    jobs: Sequence[FileJob],
    output_folder: str | Path,
    engine: Engine,
    *,
    identity: Mapping[str, Any],
    overwrite: bool = False,
    on_file: Callable[[FileRecord], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> RunSummary:
    """Restore files into ``output_folder`` and report on each in ``report.jsonl`` there.

    Results keep their relative name and format; a format that cannot be written becomes PNG. An image that
    comes back unchanged is copied byte for byte. A file that fails is reported and the others go on. A file
    that an earlier run restored from the same bytes under the same identity is skipped.

    Args:
        task: how to restore each of them. Where it explains, the explanation of ``a.png`` goes to
            ``explained/a.png/``, and files that an earlier run restored without it are restored again.
        jobs: what :func:`~polyrestore.bulk.files.find_jobs` found for this output folder.
        output_folder: made when missing; no input in it is overwritten.
        engine: where the files are restored.
        identity: everything that decides about the pixels of a result beside the input, as plain JSON
            values: what :meth:`~polyrestore.bulk.one_file.RestoreTask.identity` returns.
        overwrite: replace files in the output folder that no earlier run wrote, instead of failing.
        on_file: called with the record of each file as soon as it is on disk.
        on_notice: called with each sentence that a user should read, before the first file.

    Raises:
        OutputError: the output folder or the report cannot be written.
        PolyrestoreError: the engine cannot be started.
    """
    started = time.monotonic()
    folder = Path(output_folder)
    with Report(folder) as report:
        for notice in report.notices:
            if on_notice is not None:
                on_notice(notice)
        _remove_leftovers(folder, report)
        run = _Run(task, folder, jobs, report, json.loads(json.dumps(identity)), overwrite, on_file)
        for job, record in engine(task, run.settled_jobs()):
            run.finish(job, run.place(job, record))
    return RunSummary(len(jobs), **run.counts, seconds=time.monotonic() - started, report=report.path)


class _Run:
    """What the files of one run share. It alone knows the report, and puts files in their places."""

    def __init__(
        self,
        task: RestoreTask,
        folder: Path,
        jobs: Sequence[FileJob],
        report: Report,
        identity: dict[str, Any],
        overwrite: bool,
        on_file: Callable[[FileRecord], None] | None,
    ) -> None:
        self.task = task
        self.folder = folder
        self.jobs = jobs
        self.report = report
        self.identity = identity
        self.places = Places(
            folder, jobs, report, identity=identity, explain=task.explain, overwrite=overwrite
        )
        self.on_file = on_file
        self.counts: dict[Status, int] = {"restored": 0, "skipped": 0, "failed": 0}

    def settled_jobs(self) -> Iterator[SettledJob]:
        """Yield each job as an engine takes it; those that cannot be begun are accounted for at once."""
        for job in self.jobs:
            source, output = Path(job.input), PurePath(job.output)
            settled = SettledJob(source, self.folder, output, secrets.token_hex(4))
            try:
                wanted = named_for_content(output, read_start(source), self.task.format)
                # Places are looked at again when the result is there; by now nothing was computed in vain.
                name, finished = self.places.settle(job, wanted)
            except Exception as error:
                self.finish(settled, describe_failure(source, error))
            else:
                yield replace(settled, output=name, finished=finished)

    def place(self, job: SettledJob, record: FileRecord) -> FileRecord:
        """Put what a task left behind in its place, and return what came of that."""
        if record.status != "restored":
            return record
        staged = job.staged(record)
        try:
            for name in record.explanation:
                self.places.require_explanation(PurePath(name))
            self.places.require_target(job.output)
            self.report.claim(*record.explanation, job.output.as_posix())
            for place, token in staged[:-1]:
                put_in_place(place, token)
            self.places.explained.remove(job.output, keep=record.explanation)
            put_in_place(*staged[-1])
            if record.shots:
                forget_video(self.folder, job.output)
        except BaseException as error:
            for place, token in staged:
                discard_staged(place, token)
            if not isinstance(error, Exception):
                raise
            return describe_failure(job.input, error, record.sha256)
        return record

    def finish(self, job: SettledJob, record: FileRecord) -> None:
        """Write a job's line."""
        if record.status == "failed":
            record = self.places.with_what_is_left(record, job.output)
        record = replace(record, identity=self.identity)
        self.report.append(record)
        self.counts[record.status] += 1
        if self.on_file is not None:
            self.on_file(record)


def _remove_leftovers(folder: Path, report: Report) -> None:
    """Remove the temporary files of a run that was killed; the lock says that none is running."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            # An input may have been called like one, and its result is then.
            if _TEMPORARY_NAME.match(name) and not report.owns(path.relative_to(folder).as_posix()):
                path.unlink(missing_ok=True)
