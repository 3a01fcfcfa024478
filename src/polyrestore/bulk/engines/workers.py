"""The engine of several processes on one machine: what crashes one of them costs its own file only."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import cast

from polyrestore.bulk.engines.shares import Share
from polyrestore.bulk.engines.worker import run_worker
from polyrestore.bulk.one_file import RestoreTask, SettledJob
from polyrestore.bulk.record import FileRecord
from polyrestore.errors import DeviceError, PolyrestoreError
from polyrestore.notes import Note

# A process that ends before it has opened the bundle ends for no fault of a file.
_MOST_STARTS = 3
_SECONDS_TO_END = 10.0


class Workers:
    """Processes that each hold a restorer and restore one file at a time; a context manager.

    A process that ends in the midst of a file, because a decoder crashed or memory ran out, is replaced. Its
    file is tried once more, when all others are done, alone and in a process that was just started: what was
    killed by something else is restored then, and a file that ends that process as well is reported as
    failed, with the code ``crashed``.

    Processes are started when there are files for them. As with all spawned processes, the main module of a
    program that uses this must do its work below ``if __name__ == "__main__"``.

    Example:
        >>> with Workers(task, make_shares(2, usable_cores(), None)) as workers:    # doctest: +SKIP
        ...     restore_files(task, jobs, "restored", workers.restore, identity=identity)

    Args:
        task: what each of them opens.
        shares: what each of them computes with; as many as there shall be.
        on_tile: called while pictures are restored with how many of their tiles are finished, and how many
            there are, of all of them that are at hand.
    """

    def __init__(
        self,
        task: RestoreTask,
        shares: Sequence[Share],
        on_tile: Callable[[int, int], None] | None = None,
    ) -> None:
        self._task = task
        self._free = deque(shares)
        self._on_tile = on_tile
        self._crew: list[_Worker] = []
        self._failed_starts = 0

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in list(self._crew):
            self._dismiss(worker)

    def restore(
        self, task: RestoreTask, jobs: Iterable[SettledJob]
    ) -> Iterator[tuple[SettledJob, FileRecord]]:
        """Restore files in the processes; an engine of :func:`~polyrestore.bulk.run.restore_files`.

        Args:
            task: as it was given to the constructor.
            jobs: what; the next one is taken before there is a process for it.

        Yields:
            each job with its record, as they are done.

        Raises:
            PolyrestoreError: a process cannot open the task, or ends again and again while it does.
        """
        coming = iter(jobs)
        suspects: deque[SettledJob] = deque()
        done: list[tuple[SettledJob, FileRecord]] = []
        try:
            following = next(coming, None)
            while True:
                while following is not None and (worker := self._idle_or_new()) is not None:
                    worker.begin(following)
                    following = next(coming, None)
                # Only now, so that no process waits until a result has reached the disk.
                yield from done
                done.clear()
                if not any(worker.job for worker in self._crew):
                    if not suspects:
                        return
                    self._new_one_alone().begin(suspects.popleft(), again=True)
                for worker in self._that_have_news():
                    job, again = worker.job, worker.again
                    record = self._hear(worker)
                    if job is None:
                        continue
                    if record is not None:
                        done.append((job, record))
                    elif worker in self._crew:
                        continue
                    elif not worker.is_open:
                        following, coming = job, _before(following, coming)
                    elif again:
                        done.append((job, _crashed(job, worker)))
                    else:
                        suspects.append(job)
        finally:
            for worker in [worker for worker in self._crew if worker.job]:
                self._dismiss(worker)

    def _idle_or_new(self) -> _Worker | None:
        """Return a worker that has nothing to do; None where all are busy."""
        for worker in self._crew:
            if worker.job is None:
                return worker
        return self._start() if self._free else None

    def _new_one_alone(self) -> _Worker:
        """Return a worker that was just started, where all there are have nothing to do."""
        if not self._free:
            self._dismiss(self._crew[0])
        return self._start()

    def _start(self) -> _Worker:
        share = self._free[0]
        device = self._task.device if share.device is None else share.device
        worker = _Worker(replace(self._task, device=device), share)
        self._free.popleft()
        self._crew.append(worker)
        return worker

    def _that_have_news(self) -> list[_Worker]:
        ready = wait([worker.connection for worker in self._crew])
        return [worker for worker in self._crew if worker.connection in ready]

    def _hear(self, worker: _Worker) -> FileRecord | None:
        """Return the record that a worker has sent, if that is what it sent; one that ended is dismissed.

        Raises:
            PolyrestoreError: it cannot open the task, or ended before it had, and others before it.
        """
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            worker.wait()
            self._failed_starts += not worker.is_open
            self._dismiss(worker)
            if self._failed_starts >= _MOST_STARTS:
                raise DeviceError(
                    f"{_MOST_STARTS} workers in a row ended before they had opened the bundle, the last one "
                    f"by {worker.ending()}; free some memory, or take fewer workers"
                ) from None
            return None
        if isinstance(message, PolyrestoreError):
            raise message
        if isinstance(message, FileRecord):
            worker.job, worker.tiles = None, (0, 0)
            return message
        if message is None:
            worker.is_open, self._failed_starts = True, 0
            return None
        worker.tiles = cast("tuple[int, int]", message)
        if self._on_tile is not None:
            done, total = (sum(numbers) for numbers in zip(*(each.tiles for each in self._crew), strict=True))
            self._on_tile(done, total)
        return None

    def _dismiss(self, worker: _Worker) -> None:
        self._crew.remove(worker)
        self._free.append(worker.share)
        worker.end()


class _Worker:
    """One process, and the file that it has at hand.

    Attributes:
        share: what it computes with.
        connection: to it.
        job: the file; None while it has nothing to do.
        again: whether the file has ended another process before.
        is_open: whether the restorer is open.
        tiles: of the file, how many are finished and how many there are.
    """

    def __init__(self, task: RestoreTask, share: Share) -> None:
        self.share = share
        self.job: SettledJob | None = None
        self.again = False
        self.is_open = False
        self.tiles = (0, 0)
        spawning = multiprocessing.get_context("spawn")
        self.connection: Connection
        self.connection, theirs = spawning.Pipe()
        arguments = (theirs, pickle.dumps(task), share.threads)
        self._process = spawning.Process(target=run_worker, args=arguments, daemon=True)
        try:
            with theirs, _without_interrupts():
                self._process.start()
        except OSError as error:
            raise DeviceError(f"cannot start a worker: {error.strerror or error}; take fewer") from error

    def begin(self, job: SettledJob, *, again: bool = False) -> None:
        """Let the process restore a file; one that has ended says so when it is heard."""
        self.job, self.again = job, again
        with contextlib.suppress(OSError):
            self.connection.send(job)

    def wait(self) -> None:
        """Wait for a process that has closed its end of the pipe, so that its exit code is its own."""
        self._process.join(_SECONDS_TO_END)

    def end(self) -> None:
        """End the process, whatever it is doing, and remove what it left of its file."""
        self._process.kill()
        self._process.join()
        self.connection.close()
        if self.job is not None:
            self.job.discard()

    def ending(self) -> str:
        """Return what has ended the process: "SIGSEGV", "exit code 3"."""
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"


def _before(first: SettledJob | None, others: Iterator[SettledJob]) -> Iterator[SettledJob]:
    if first is not None:
        yield first
    yield from others


def _crashed(job: SettledJob, worker: _Worker) -> FileRecord:
    text = f"the process that restored it was ended by {worker.ending()}, twice"
    return FileRecord(
        str(job.input), None, "failed", error=f"{job.input}: {text}", notes=(Note("crashed", text),)
    )


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Keep SIGINT for later, in this thread and for ever in the processes that are started meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
