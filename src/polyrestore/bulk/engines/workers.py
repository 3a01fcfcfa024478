"""The engine of several processes on one machine: what crashes one of them costs its own file only."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import cast

from polyrestore.bulk.engines.crew import Crew, Ended, News, Opened, Worker
from polyrestore.bulk.engines.shares import Share
from polyrestore.bulk.engines.worker import run_worker
from polyrestore.bulk.one_file import RestoreTask, SettledJob
from polyrestore.errors import DeviceError, PolyrestoreError

_SECONDS_TO_END = 10.0


class Workers(Crew["_Process"]):
    """Processes of this machine that restore files; a context manager, and what goes for every crew.

    Processes are started when there are files for them. As with all spawned processes, the main module of a
    program that uses this must do its work below ``if __name__ == "__main__"``.

    Example:
        >>> with Workers(task, make_shares(2, usable_cores(), None)) as workers:    # doctest: +SKIP
        ...     restore_files(task, jobs, "restored", workers.restore, identity=identity)

    Args:
        task: what each of them opens.
        shares: what each of them computes with; as many as there shall be.
        on_tile: as of :class:`~polyrestore.bulk.engines.crew.Crew`.
        timeout_s: how long one file may take, in seconds; None for as long as it needs.
    """

    def __init__(
        self,
        task: RestoreTask,
        shares: Sequence[Share],
        on_tile: Callable[[int, int], None] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        super().__init__(len(shares), "process", timeout_s, on_tile)
        self._task = task
        self._free = deque(shares)

    def __enter__(self) -> Workers:
        return self

    def start(self) -> _Process:
        """Return a new process, with a share that no other one has."""
        share = self._free[0]
        device = self._task.device if share.device is None else share.device
        process = _Process(replace(self._task, device=device), share, self._free.append)
        self._free.popleft()
        return process

    def hear(self, wait_s: float | None) -> list[tuple[_Process, News]]:
        """Return the next message of each process that has sent one, or that it has ended."""
        ready = wait([worker.connection for worker in self.workers], wait_s)
        return [(worker, worker.hear()) for worker in self.workers if worker.connection in ready]


class _Process(Worker):
    """One process.

    Attributes:
        connection: to it.
    """

    def __init__(self, task: RestoreTask, share: Share, give_back: Callable[[Share], None]) -> None:
        super().__init__()
        self._share, self._give_back = share, give_back
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

    def begin(self, job: SettledJob) -> None:
        """Send the file."""
        with contextlib.suppress(OSError):
            self.connection.send(job)

    def hear(self) -> News:
        """Return what it has sent.

        Raises:
            PolyrestoreError: it cannot open the task.
        """
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            # So that the exit code of one that has closed its end of the pipe is its own.
            self._process.join(_SECONDS_TO_END)
            return Ended(self._ending())
        if isinstance(message, PolyrestoreError):
            raise message
        return Opened() if message is None else cast("News", message)

    def end(self) -> None:
        """Kill it, and give back its share."""
        self._process.kill()
        self._process.join()
        self.connection.close()
        self._give_back(self._share)

    def _ending(self) -> str:
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"


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
