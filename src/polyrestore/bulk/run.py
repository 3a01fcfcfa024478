"""Restore many files: account for each one, continue where an earlier run stopped, lose nothing."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from polyrestore.bulk.beginnings import beginnings
from polyrestore.bulk.files import FileJob, named_for_content
from polyrestore.bulk.one_file import RestoreTask, SettledJob, describe_failure
from polyrestore.bulk.output_folder import OutputFolder, Results
from polyrestore.bulk.output_store import OutputStore
from polyrestore.bulk.places import Places
from polyrestore.bulk.record import FileRecord, Status
from polyrestore.bulk.report import REPORT_NAME, Report
from polyrestore.errors import OutputError
from polyrestore.files import write_text
from polyrestore.storage.urls import is_url, scratch_folder, url_name

_MARK = "results-url.txt"

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
    report_folder: Path | None = None,
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
        output_folder: made when missing; no input in it is overwritten. A text may be a URL.
        engine: where the files are restored.
        identity: everything that decides about the pixels of a result beside the input, as plain JSON
            values: what :meth:`~polyrestore.bulk.one_file.RestoreTask.identity` returns.
        overwrite: replace files in the output folder that no earlier run wrote, instead of failing.
        report_folder: of the report where results go to a URL; None for :func:`default_report_folder`.
        on_file: called with the record of each file as soon as it is on disk.
        on_notice: called with each sentence that a user should read, before the first file.

    Raises:
        OutputError: the output folder or the report cannot be written.
        StorageError: a store of results cannot be listed, or nothing can be written there.
        PolyrestoreError: the engine cannot be started.
    """
    started = time.monotonic()
    results: Results
    if isinstance(output_folder, str) and is_url(output_folder):
        results = OutputStore(output_folder, jobs)
        folder = report_path(output_folder, report_folder).parent
        _require_report_of(folder, output_folder)
        report = Report(folder, results.has)
    else:
        results = OutputFolder(Path(output_folder), jobs)
        report = Report(results.path)
    with report:
        for notice in report.notices:
            if on_notice is not None:
                on_notice(notice)
        results.remove_leftovers(report.owns)
        known = json.loads(json.dumps(identity))
        run = _Run(task, output_folder, jobs, report, results, known, overwrite, on_file)
        for job, record in engine(task, run.settled_jobs()):
            run.finish(job, run.place(job, record))
    return RunSummary(len(jobs), **run.counts, seconds=time.monotonic() - started, report=report.path)


def default_report_folder(url: str) -> Path:
    """Return the folder for the report of a run whose results go to a URL, in the working directory.

    >>> default_report_folder("s3://photographs/restored")
    PosixPath('s3-photographs-restored-43d8c4')
    """
    readable = "-".join(filter(None, re.split(r"[^A-Za-z0-9._]+", url)))
    return Path(f"{readable[:100]}-{hashlib.sha256(url.encode()).hexdigest()[:6]}")


def report_path(output_folder: str | Path, report_folder: Path | None = None) -> Path:
    """Return where the report of a run is; arguments as of :func:`restore_files`."""
    if isinstance(output_folder, str) and is_url(output_folder):
        return (report_folder or default_report_folder(output_folder)) / REPORT_NAME
    return Path(output_folder) / REPORT_NAME


def _require_report_of(folder: Path, url: str) -> None:
    """Refuse a report about the results of another place, whose names would be taken for those of this one.

    Raises:
        OutputError: it is, or nothing can be written there.
    """
    mark = folder / _MARK
    if (folder / REPORT_NAME).exists() or mark.exists():
        known = mark.read_text("utf-8").strip() if mark.is_file() else "a folder"
        if known != url:
            raise OutputError(f"the report in {folder} is about results in {known}; name another --report")
    else:
        write_text(mark, f"{url}\n")


class _Run:
    """What the files of one run share. It alone knows the report, and puts files in their places."""

    def __init__(
        self,
        task: RestoreTask,
        folder: str | Path,
        jobs: Sequence[FileJob],
        report: Report,
        results: Results,
        identity: dict[str, Any],
        overwrite: bool,
        on_file: Callable[[FileRecord], None] | None,
    ) -> None:
        self.task = task
        self.folder = folder
        self.jobs = jobs
        self.report = report
        self.results = results
        self.identity = identity
        self.places = Places(
            results, jobs, report, identity=identity, explain=task.explain, overwrite=overwrite
        )
        self.on_file = on_file
        self.counts: dict[Status, int] = {"restored": 0, "skipped": 0, "failed": 0}

    def settled_jobs(self) -> Iterator[SettledJob]:
        """Yield each job as an engine takes it; those that cannot be begun are accounted for at once."""
        for job, start in beginnings(self._unfinished()):
            settled = self._settled(job)
            try:
                wanted = named_for_content(settled.output, start(), self.task.format)
                # Places are looked at again when the result is there; by now nothing was computed in vain.
                name, finished = self.places.settle(job, wanted)
            except Exception as error:
                self.finish(settled, describe_failure(settled.shown, error))
            else:
                yield replace(settled, output=name, finished=finished)

    def _unfinished(self) -> Iterator[FileJob]:
        """Yield the jobs of which something has to be read; the others are accounted for at once."""
        for job in self.jobs:
            finished = self.places.finished_as_it_is(job)
            if finished is None:
                yield job
            else:
                self.finish(self._settled(job), replace(finished, status="skipped"))

    def _settled(self, job: FileJob) -> SettledJob:
        """Return a job with the places where it is read and written on this machine."""
        token = secrets.token_hex(4)
        settled = SettledJob(Path(job.input), Path(self.folder), PurePath(job.output), token)
        if is_url(job.input):
            place = scratch_folder(token) / "input" / url_name(job.input)
            settled = replace(settled, input=place, source=job.input, source_state=job.state)
        if is_url(self.folder):
            settled = replace(settled, folder=scratch_folder(token) / "results", store=str(self.folder))
        return settled

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
                self.results.put(job, place, token)
            self.places.explained.remove(job.output, keep=record.explanation)
            self.results.put(job, *staged[-1])
            if record.shots:
                self.results.forget(job)
        except BaseException as error:
            for place, token in staged:
                self.results.discard(job, place, token)
            if not isinstance(error, Exception):
                raise
            return describe_failure(job.shown, error, record.sha256)
        return replace(record, output_state=self.results.state(job.output))

    def finish(self, job: SettledJob, record: FileRecord) -> None:
        """Write a job's line."""
        if record.status == "failed":
            record = self.places.with_what_is_left(record, job.output)
        else:
            record = replace(record, input_state=job.source_state)
        record = replace(record, identity=self.identity)
        self.report.append(record)
        self.counts[record.status] += 1
        if self.on_file is not None:
            self.on_file(record)
