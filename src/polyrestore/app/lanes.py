"""Work that takes turns: one image at a time in a thread, a bounded number waiting behind it."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from polyrestore.app.refusals import RefusedError, out_of_memory
from polyrestore.devices import is_out_of_memory
from polyrestore.errors import StoppedError

Result = TypeVar("Result")

_LONGEST_RETRY_S = 60
_USUAL_S = 2.0


class Job:
    """One image on its way: where it is, and whether anybody still wants it.

    Attributes:
        running: False while it waits for its turn.
        done: tiles that are finished.
        total: tiles that there are, 0 before that is known.
    """

    def __init__(self, limit_s: float) -> None:
        self.running = False
        self.done = 0
        self.total = 0
        self._limit_s = limit_s
        self._deadline = math.inf
        self._unwanted = threading.Event()

    def begin(self) -> None:
        """Let the time that it may take begin.

        Raises:
            StoppedError: nobody wants it any more.
        """
        self.running = True
        self._deadline = time.monotonic() + self._limit_s
        self.check()

    def on_tile(self, done: int, total: int) -> None:
        """Note that a tile is finished.

        Raises:
            StoppedError: nobody wants the image any more.
            RefusedError: it has taken too long.
        """
        self.done, self.total = done, total
        self.check()

    def check(self) -> None:
        """Go on, or do not.

        Raises:
            StoppedError: nobody wants the image any more.
            RefusedError: it has taken too long.
        """
        if self._unwanted.is_set():
            raise StoppedError("nobody waits for the image any more")
        if time.monotonic() > self._deadline:
            limit = self._limit_s
            raise RefusedError(
                "too_many_seconds", f"restoring took longer than {limit:g} seconds", {"seconds": limit}
            )

    def drop(self) -> None:
        """Let it end at the next tile."""
        self._unwanted.set()


class Lane:
    """A thread that does one job after another.

    Args:
        name: of the thread.
        most_waiting: how many jobs may wait; more are refused.
    """

    def __init__(self, name: str, most_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._most = most_waiting + 1
        self._jobs: set[Job] = set()
        self._idle = threading.Event()
        self._idle.set()
        self._mean_s = _USUAL_S
        self._stopped = False

    @property
    def waiting(self) -> int:
        """How many jobs wait for their turn."""
        return sum(not job.running for job in self._jobs)

    @property
    def running(self) -> int:
        """How many jobs are being done, 0 or 1."""
        return len(self._jobs) - self.waiting

    def give_way(self, most_s: float) -> None:
        """Let another thread wait until nothing waits or runs in this lane, but no longer than ``most_s``."""
        self._idle.wait(most_s)

    def _require_room(self) -> None:
        if self._stopped:
            raise StoppedError("the page is being closed")
        if len(self._jobs) >= self._most:
            raise busy(self._mean_s * len(self._jobs) / 2)

    async def run(
        self, job: Job, work: Callable[[], Result], gone: Callable[[], Awaitable[object]]
    ) -> Result:
        """Do a job when its turn comes.

        Args:
            job: the job; ``work`` is to call its ``on_tile``.
            work: what is done, in the thread.
            gone: returns once nobody waits for the result any more.

        Raises:
            RefusedError: the queue is full, or it took too long.
            StoppedError: nobody waits any more, or the page is being closed.
        """
        self._require_room()
        self._jobs.add(job)
        self._idle.clear()
        future = self._pool.submit(self._do, job, work)
        result = asyncio.wrap_future(future)
        watcher = asyncio.ensure_future(gone())
        try:
            await asyncio.wait((result, watcher), return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise StoppedError("nobody waits for the image any more")
            if result.cancelled():
                raise StoppedError("the page is being closed")
            return result.result()
        finally:
            watcher.cancel()
            job.drop()
            if not future.cancel() and not result.done():
                # Its place is taken until the thread has left it, and nobody is left to read how it ended.
                result.add_done_callback(lambda ended: self._leave(job, ended))
            else:
                self._discard(job)

    def stop(self) -> None:
        """Let all jobs end, and take no more."""
        self._stopped = True
        for job in tuple(self._jobs):
            job.drop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _do(self, job: Job, work: Callable[[], Result]) -> Result:
        job.begin()
        started = time.monotonic()
        try:
            result = work()
        except Exception as error:
            if is_out_of_memory(error):
                raise out_of_memory() from error
            raise
        self._mean_s = 0.7 * self._mean_s + 0.3 * (time.monotonic() - started)
        return result

    def _discard(self, job: Job) -> None:
        self._jobs.discard(job)
        if not self._jobs:
            self._idle.set()

    def _leave(self, job: Job, ended: asyncio.Future[Result]) -> None:
        self._discard(job)
        if not ended.cancelled():
            ended.exception()


def busy(seconds: float) -> RefusedError:
    """Return the refusal of what would have to wait too long.

    Args:
        seconds: after which there may be room.
    """
    retry_s = min(_LONGEST_RETRY_S, max(1, math.ceil(seconds)))
    sentence = f"too many images are waiting; try again in {retry_s} s"
    return RefusedError("busy", sentence, {"seconds": retry_s}, retry_after_s=retry_s)
