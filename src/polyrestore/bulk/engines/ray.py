"""The engine of many machines: actors on a Ray cluster that each hold a restorer.

Ray Data is not used: its pools try a whole block again when an actor ends, and know no time limit for a file,
where here one file is tried again, alone, and the others go on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from polyrestore.bulk.any_file import restore_any
from polyrestore.bulk.engines.crew import Crew, Ended, News, Opened, Worker
from polyrestore.bulk.engines.shares import usable_cores
from polyrestore.bulk.one_file import RestoreTask, SettledJob
from polyrestore.bulk.record import FileRecord
from polyrestore.errors import DeviceError, PolyrestoreError, needs_extra

_SECONDS_TO_ANSWER = 10.0
_SECONDS_TO_CONNECT = 60.0
_SECONDS_TO_START = 300.0
_SECONDS_TO_END = 10.0
# Only jobs and records go through it, and Ray takes no less.
_OBJECT_STORE_BYTES = 100 << 20
_MOST_ATTEMPTS = 3
_CPUS_EACH = 1
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
_PROBE = "import logging, ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level=50)"


@dataclass(frozen=True)
class Facts:
    """What an actor says of the restorer that it has opened.

    Attributes:
        identity: what :meth:`~polyrestore.bulk.one_file.RestoreTask.identity` returns there.
        bare: whether the backbone alone restores.
    """

    identity: dict[str, Any]
    bare: bool


class RayWorkers(Crew["_Actor"]):
    """Actors on a Ray cluster that restore files; a context manager, and what goes for every crew.

    Inputs, the output folder, the bundle and plugins must be under the same paths on all machines, and the
    same version of this package must be installed there. Where Ray runs in this process already, its
    cluster is used and left as it is.

    Args:
        task: what each actor opens. Where it names no device, actors have a GPU each, if there are any.
        address: of the cluster, "auto" for the one that runs on this machine; None for ``RAY_ADDRESS``, and
            without that for one of this process alone, which ends with it.
        actors: how many there shall be; None for what the CPUs (one is left to this process) or GPUs that are
            free allow. More than fit are started when the cluster grows.
        timeout_s: how long one file may take, in seconds; None for as long as it needs.

    Raises:
        MissingExtraError: Ray is not installed.
        DeviceError: the cluster cannot be reached, or starts no actor.
    """

    facts: Facts

    def __init__(
        self,
        task: RestoreTask,
        address: str | None = None,
        actors: int | None = None,
        timeout_s: float | None = None,
    ) -> None:
        set_up_environment()
        with needs_extra("--engine ray", "ray"):
            import ray
        self._ray = ray
        self._task = task
        self._address = address or os.environ.get("RAY_ADDRESS")
        self._own = False
        self._gpus_each = 0
        super().__init__(actors or 0, "actor", timeout_s)

    def __enter__(self) -> RayWorkers:
        try:
            if not self._ray.is_initialized():
                with _keep_signals():
                    self._connect()
                self._own = True
            self._size()
            self._open_first()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._own:
            self._ray.shutdown()

    def describe(self) -> str:
        """Return how many actors there are to be, and of what, as a line."""
        of_what = "1 GPU" if self._gpus_each else "1 CPU"
        where = f"the cluster at {self._address}" if self._address else "this machine"
        return f"workers: {self._most} actor{'s' * (self._most != 1)}, of {of_what} each, on {where}"

    def start(self) -> _Actor:
        """Return a new actor; Ray starts it when there is room."""
        options = {"num_cpus": _CPUS_EACH, "num_gpus": self._gpus_each, "max_restarts": 0}
        return _Actor(self._ray, self._ray.remote(**options)(_Holder).remote(pickle.dumps(self._task)))

    def hear(self, wait_s: float | None) -> list[tuple[_Actor, News]]:
        """Return what the actors have answered, or that they have ended."""
        asked = {worker.answer: worker for worker in self.workers if worker.answer is not None}
        latest = time.monotonic() + _SECONDS_TO_START
        if not any(worker.is_open for worker in self.workers):
            wait_s = _SECONDS_TO_START
        self._ray.wait(list(asked), timeout=wait_s)
        ready, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=0)
        if not ready and time.monotonic() >= latest:
            raise DeviceError(
                f"Ray has started no actor within {_SECONDS_TO_START:.0f} s; "
                f"free are {self._ray.available_resources().get('CPU', 0):g} CPUs (see ray status)"
            )
        return [(asked[answer], self._read(asked[answer])) for answer in ready]

    def _read(self, worker: _Actor) -> News:
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(worker.answer)
        except errors.OutOfMemoryError:
            return Ended("Ray, for want of memory")
        except (errors.RayActorError, errors.WorkerCrashedError) as error:
            return Ended("a crash or a signal" if worker.is_open else _last_line(error))
        except Exception as error:
            raise DeviceError(f"an actor cannot restore: {_last_line(error)}") from error
        worker.answer = None
        if isinstance(answer, PolyrestoreError):
            raise answer
        if isinstance(answer, FileRecord):
            return answer
        self._require_alike(answer)
        if worker.job is not None:
            worker.begin_now(worker.job)
        return Opened()

    def _require_alike(self, facts: Facts) -> None:
        if facts != self.__dict__.setdefault("facts", facts):
            different = [
                key for key, value in facts.identity.items() if value != self.facts.identity.get(key)
            ]
            raise DeviceError(
                f"the machines of the cluster differ in {', '.join(different)}; "
                "all need the same bundle, plugins and kind of device"
            )

    def _connect(self) -> None:
        if self._address is None:
            start_here(usable_cores())
            return
        _require_answer(self._address)
        try:
            self._ray.init(address=self._address, **_QUIET)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise DeviceError(f"no Ray cluster at {self._address}: {_last_line(error)}") from error

    def _size(self) -> None:
        """Find out what the actors are given, and how many there shall be where nobody said."""
        free = self._ray.available_resources()
        gpus = int(free.get("GPU", 0)) if self._task.device in (None, "cuda") else 0
        self._gpus_each = 1 if gpus else 0
        self._most = self._most or gpus or max(1, int(free.get("CPU", 1)) - 1)

    def _open_first(self) -> None:
        """Wait until there is an actor, since what its restorer is belongs to the account of every file."""
        while not any(worker.is_open for worker in self.workers):
            if not self.workers:
                self._add()
            for worker, news in self.hear(None):
                self._note(worker, news)


class _Actor(Worker):
    """One actor.

    Attributes:
        answer: what it is asked for, as Ray's reference; None while nothing is.
    """

    def __init__(self, ray: Any, handle: Any) -> None:
        super().__init__()
        self._ray, self._handle = ray, handle
        self.answer: Any = handle.open.remote()

    def begin(self, job: SettledJob) -> None:
        """Hand the file over, once it is open."""
        if self.is_open:
            self.begin_now(job)

    def begin_now(self, job: SettledJob) -> None:
        """Hand the file over."""
        self.answer = self._handle.restore.remote(job)

    def end(self) -> None:
        """Kill it, and wait until it writes no more."""
        self._ray.kill(self._handle)
        if self.answer is not None:
            self._ray.wait([self.answer], timeout=_SECONDS_TO_END)


class _Holder:
    """What an actor is: a restorer, and the files that come to it one by one."""

    def __init__(self, task: bytes) -> None:
        self._pickled = task

    def open(self) -> Facts | PolyrestoreError:
        """Open the restorer."""
        import torch

        # Ray sees to that too, but not where OMP_NUM_THREADS is set for the command.
        torch.set_num_threads(_CPUS_EACH)
        try:
            self._task: RestoreTask = pickle.loads(self._pickled)
            self._restorer = self._task.open()
            return Facts(self._task.identity(self._restorer), self._restorer.is_bare)
        except PolyrestoreError as error:
            return error

    def restore(self, job: SettledJob) -> FileRecord:
        """Restore one file."""
        return restore_any(self._task, job, self._restorer)


def set_up_environment() -> None:
    """Set what Ray reads from the environment when it is imported, or when it starts processes."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # What it has to say about actors goes to standard output, where results are.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", r"\A")
    # On a busy machine, the quarter of a minute that it waits for its own processes is too short.
    os.environ.setdefault("RAY_agent_register_timeout_ms", f"{1000 * _SECONDS_TO_START:.0f}")


def start_here(cpus: int) -> None:
    """Start Ray on this machine, for this process alone.

    Args:
        cpus: how many its actors may take.

    Raises:
        DeviceError: it does not start, also when it is tried again.
    """
    import ray

    for attempt in range(_MOST_ATTEMPTS):
        try:
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                **_QUIET,
            )
            return
        except Exception as error:
            # It gives its own processes half a minute, which are not enough on a busy machine.
            ray.shutdown()
            if attempt + 1 == _MOST_ATTEMPTS:
                raise DeviceError(f"Ray cannot be started here: {_last_line(error)}") from error


def _require_answer(address: str) -> None:
    """Refuse a cluster that is not there, before Ray waits for it for minutes and ends the process.

    Raises:
        DeviceError: nothing answers there, or not as a cluster does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return
    try:
        socket.create_connection((host, int(port)), _SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DeviceError(f"no Ray cluster at {address}: {reason}; is it running there?") from error
    try:
        found = subprocess.run(
            [sys.executable, "-c", _PROBE, address], capture_output=True, timeout=_SECONDS_TO_CONNECT
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"no Ray cluster at {address}: it took longer than {_SECONDS_TO_CONNECT:.0f} s to answer"
        ) from error
    if found.returncode:
        reason = _last_line(found.stderr.decode(errors="replace"))
        raise DeviceError(f"no Ray cluster at {address}: {reason or 'it does not answer as one'}")


def _last_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


@contextlib.contextmanager
def _keep_signals() -> Iterator[None]:
    """Keep what signals do, which Ray changes when it is started in the main thread."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = [(number, signal.getsignal(number)) for number in numbers]
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before:
                signal.signal(number, handler)
