"""A function in a process of its own, which may be ended by what it does, or never come back from it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


class NoAnswerError(Exception):
    """The process ended, or took too long; another one is there now."""


class Aside:
    """Calls a function in another process, which is begun anew when it is lost.

    Args:
        function: takes one thing and gives one back; all three pickle.
        limit_s: how long an answer may take; the first one also takes as long as the imports.

    Attributes:
        process: the one at work now.
        limit_s: as it was given.
    """

    def __init__(self, function: Callable[[Any], Any], limit_s: float) -> None:
        # Spawned, because a fork of a process that has threads may never answer.
        self._context = multiprocessing.get_context("spawn")
        self._function = function
        self.limit_s = limit_s
        self._begin()

    def _begin(self) -> None:
        self._connection, other = self._context.Pipe()
        self.process = self._context.Process(target=_work, args=(other, self._function), daemon=True)
        self.process.start()
        other.close()

    def ask(self, task: Any) -> Any:
        """Return what the function makes of a task, which is not None.

        Raises:
            NoAnswerError: there was no answer.
        """
        try:
            self._connection.send(task)
            if self._connection.poll(self.limit_s):
                return self._connection.recv()
            reason = f"no answer within {self.limit_s:g} s"
        except (EOFError, OSError):
            self.process.join()
            reason = f"the process ended with {self.process.exitcode}"
        self.process.kill()
        self._begin()
        raise NoAnswerError(reason)

    def close(self) -> None:
        """End the process."""
        self._connection.send(None)
        self.process.join()


def _work(connection: Connection, function: Callable[[Any], Any]) -> None:
    while (task := connection.recv()) is not None:
        connection.send(function(task))
