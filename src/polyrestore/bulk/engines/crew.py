"""Workers of any kind that restore one file at a time: who has which, and what is done when one ends."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from polyrestore.bulk.one_file import RestoreTask, SettledJob
from polyrestore.bulk.record import FileRecord
from polyrestore.errors import DeviceError
from polyrestore.notes import Note

# A worker that ends before it has opened the bundle ends for no fault of a file.
_MOST_STARTS = 3


@dataclass(frozen=True)
class Opened:
    """A worker has opened the bundle."""


@dataclass(frozen=True)
class Ended:
    """A worker has ended by itself.

    Attributes:
        how: "SIGSEGV", "exit code 3".
    """

    how: str


News = Opened | Ended | FileRecord | tuple[int, int]
"""What there is to hear of a worker; a pair of numbers are the tiles that are finished, of how many."""


class Worker(ABC):
    """One worker, and the file that it has at hand.

    Attributes:
        job: the file; None while it has nothing to do.
        again: whether the file has ended another worker before.
        is_open: whether the restorer is open.
        tiles: of the file, how many are finished and how many there are.
        since_s: when it began with the file, on the clock of :func:`time.monotonic`.
    """

    def __init__(self) -> None:
        self.job: SettledJob | None = None
        self.again = False
        self.is_open = False
        self.tiles = (0, 0)
        self.since_s = 0.0

    def take(self, job: SettledJob, *, again: bool) -> None:
        """Let it restore a file; one that has ended says so when it is heard."""
        self.job, self.again, self.since_s = job, again, time.monotonic()
        self.begin(job)

    @abstractmethod
    def begin(self, job: SettledJob) -> None:
        """Hand the file over; a worker that is not open yet begins with it when it is."""

    @abstractmethod
    def end(self) -> None:
        """End it, whatever it is doing."""


AnyWorker = TypeVar("AnyWorker", bound=Worker)


class Crew(ABC, Generic[AnyWorker]):
    """Workers that each hold a restorer and restore one file at a time; a context manager.

    A worker that ends in the midst of a file, because a decoder crashed or memory ran out, is replaced. Its
    file is tried once more, when all others are done, alone and in a worker that was just started: what was
    killed by something else is restored then, and a file that ends that worker as well is reported as failed,
    with the code ``crashed``. A file that takes longer than it may is reported with the code ``timeout``,
    and its worker is replaced as well.

    Args:
        most: how many workers there are at once.
        noun: what a worker is.
        timeout_s: how long one file may take, in seconds; None for as long as it needs.
        on_tile: called while pictures are restored with how many of their tiles are finished, and how many
            there are, of all of them that are at hand.
    """

    def __init__(
        self,
        most: int,
        noun: str,
        timeout_s: float | None = None,
        on_tile: Callable[[int, int], None] | None = None,
    ) -> None:
        self.workers: list[AnyWorker] = []
        self._most = most
        self._noun = noun
        self._timeout_s = timeout_s
        self._on_tile = on_tile
        self._failed_starts = 0

    @abstractmethod
    def start(self) -> AnyWorker:
        """Return a new worker.

        Raises:
            DeviceError: there can be none.
        """

    @abstractmethod
    def hear(self, wait_s: float | None) -> list[tuple[AnyWorker, News]]:
        """Return what there is to hear of the workers; wait for it, but no longer than so many seconds.

        Raises:
            PolyrestoreError: a worker cannot open the task.
        """

    def __exit__(self, *_: object) -> None:
        for worker in list(self.workers):
            self._dismiss(worker)

    def restore(
        self, task: RestoreTask, jobs: Iterable[SettledJob]
    ) -> Iterator[tuple[SettledJob, FileRecord]]:
        """Restore files in the workers; an engine of :func:`~polyrestore.bulk.run.restore_files`.

        Args:
            task: as it was given to the constructor.
            jobs: what; the next one is taken before there is a worker for it.

        Yields:
            each job with its record, as they are done.

        Raises:
            PolyrestoreError: a worker cannot open the task, or ends again and again while it does.
        """
        coming = iter(jobs)
        suspects: deque[SettledJob] = deque()
        done: list[tuple[SettledJob, FileRecord]] = []
        try:
            following = next(coming, None)
            while True:
                while following is not None and (worker := self._idle_or_new()) is not None:
                    worker.take(following, again=False)
                    following = next(coming, None)
                # Only now, so that no worker waits until a result has reached the disk.
                yield from done
                done.clear()
                if following is None and (following := self._take_back()) is not None:
                    continue
                if not any(worker.job for worker in self.workers):
                    if not suspects:
                        return
                    self._new_one_alone().take(suspects.popleft(), again=True)
                for worker, news in self.hear(self._wait_s()):
                    job, again = worker.job, worker.again
                    self._note(worker, news)
                    if job is None or not isinstance(news, FileRecord | Ended):
                        continue
                    if isinstance(news, FileRecord):
                        done.append((job, news))
                    elif not worker.is_open:
                        following, coming = job, _before(following, coming)
                    elif again:
                        done.append((job, self._crashed(job, news)))
                    else:
                        suspects.append(job)
                done += self._end_overdue()
        finally:
            for worker in [worker for worker in self.workers if worker.job]:
                self._dismiss(worker)

    def _idle_or_new(self) -> AnyWorker | None:
        """Return a worker that has nothing to do, if possible one that is open; None where all are busy."""
        idle = [worker for worker in self.workers if worker.job is None]
        if idle:
            return max(idle, key=lambda worker: worker.is_open)
        return self._add() if len(self.workers) < self._most else None

    def _take_back(self) -> SettledJob | None:
        """Return the file of a worker that is not open yet, where an open one has nothing left to do."""
        if not any(worker.is_open and worker.job is None for worker in self.workers):
            return None
        for worker in self.workers:
            if worker.job is not None and not worker.is_open and not worker.again:
                job = worker.job
                self._dismiss(worker)
                return job
        return None

    def _new_one_alone(self) -> AnyWorker:
        """Return the only worker, which was just started, where all there are have nothing to do."""
        for worker in list(self.workers):
            self._dismiss(worker)
        return self._add()

    def _add(self) -> AnyWorker:
        worker = self.start()
        self.workers.append(worker)
        return worker

    def _note(self, worker: AnyWorker, news: News) -> None:
        """Remember what was heard of a worker, and dismiss one that has ended.

        Raises:
            DeviceError: it ended before it had opened the task, and others before it.
        """
        if isinstance(news, Opened):
            worker.is_open, worker.since_s, self._failed_starts = True, time.monotonic(), 0
        elif isinstance(news, FileRecord):
            worker.job, worker.tiles = None, (0, 0)
        elif isinstance(news, Ended):
            self._failed_starts += not worker.is_open
            self._dismiss(worker)
            if self._failed_starts >= _MOST_STARTS:
                raise DeviceError(
                    f"{_MOST_STARTS} workers in a row ended before they had opened the bundle, the last one "
                    f"by {news.how}; free some memory, or take fewer workers"
                )
        else:
            worker.tiles = news
            if self._on_tile is not None:
                each = zip(*(other.tiles for other in self.workers), strict=True)
                self._on_tile(*(sum(numbers) for numbers in each))

    def _wait_s(self) -> float | None:
        """Return for how long no file takes longer than it may."""
        begun = [worker.since_s for worker in self.workers if worker.job and worker.is_open]
        if self._timeout_s is None or not begun:
            return None
        return max(0.0, min(begun) + self._timeout_s - time.monotonic())

    def _end_overdue(self) -> list[tuple[SettledJob, FileRecord]]:
        """End the workers whose files take longer than they may, and return these with their records."""
        done = []
        if self._timeout_s is not None:
            latest = time.monotonic() - self._timeout_s
            for worker in list(self.workers):
                if worker.job is not None and worker.is_open and worker.since_s <= latest:
                    text = f"took longer than {self._timeout_s:g} s (--timeout)"
                    done.append((worker.job, _failed(worker.job, Note("timeout", text))))
                    self._dismiss(worker)
        return done

    def _crashed(self, job: SettledJob, news: Ended) -> FileRecord:
        text = f"the {self._noun} that restored it was ended by {news.how}, twice"
        return _failed(job, Note("crashed", text))

    def _dismiss(self, worker: AnyWorker) -> None:
        self.workers.remove(worker)
        worker.end()
        if worker.job is not None:
            worker.job.discard()


def _failed(job: SettledJob, note: Note) -> FileRecord:
    return FileRecord(job.shown, None, "failed", error=f"{job.shown}: {note}", notes=(note,))


def _before(first: SettledJob | None, others: Iterator[SettledJob]) -> Iterator[SettledJob]:
    if first is not None:
        yield first
    yield from others
