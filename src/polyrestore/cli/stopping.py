"""Signals that ask the command to end, as exceptions that let it say what it has done."""

from __future__ import annotations

import os
import signal
from types import FrameType

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Stopped(KeyboardInterrupt):
    """A signal has asked for the end.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def stop_by_exception() -> None:
    """Let the first signal that asks for the end raise :class:`Stopped`, and a second one end at once.

    Signals that are ignored, as SIGHUP is below ``nohup``, stay ignored.
    """
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)


def exit_code(stop: KeyboardInterrupt) -> int:
    """Return what a shell expects of a command that a signal has ended."""
    return 128 + int(getattr(stop, "number", signal.SIGINT))


def _stop(number: int, frame: FrameType | None) -> None:
    for name in _SIGNALS:
        other = getattr(signal, name, None)
        if other is not None and signal.getsignal(other) is _stop:
            signal.signal(other, _leave)
    raise Stopped(number)


def _leave(number: int, frame: FrameType | None) -> None:
    # Files are whole at any moment, and what lies beside them is removed by the next run.
    os._exit(128 + number)
