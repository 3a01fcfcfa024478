"""What the commands say: lines that no terminal obeys, also where nobody is left to read them."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import unicodedata

# Joiners, without which some scripts cannot be read.
_HARMLESS = "\u200c\u200d"


def visible(text: str) -> str:
    r"""Return a text on one line with all that a terminal would obey written as an escape.

    These are control characters, those that turn the direction of writing, line breaks and bytes that are no
    text; what a file is called can come from anybody.

    >>> visible("a\x1b[31m\n")
    'a\\x1b[31m\\n'
    """
    if text.isprintable():
        return text
    return "".join(ascii(letter)[1:-1] if _commands(letter) else letter for letter in text)


def _commands(letter: str) -> bool:
    category = unicodedata.category(letter)
    return (category[0] == "C" or category in ("Zl", "Zp")) and letter not in _HARMLESS


class StandardOutput:
    """Standard output, which may be closed, full or left by its reader while the work goes on.

    Attributes:
        failure: why nothing can be written any more; None while it can.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget an earlier failure: another command begins."""
        self.failure: str | None = None
        self._told = False

    def write(self, text: str) -> None:
        """Write a text as it is, its line breaks included; where that fails the text is lost."""
        if self.failure is None:
            try:
                sys.stdout.write(text)
            except (OSError, ValueError) as error:
                self.fail(error)

    def flush(self) -> bool:
        """Say whether all that was written so far has arrived."""
        if self.failure is None:
            try:
                sys.stdout.flush()
            except (OSError, ValueError) as error:
                self.fail(error)
        return self.failure is None

    def tell_failure(self) -> None:
        """Say once on standard error why nothing can be written."""
        if not self._told:
            error_line(str(self.failure))
        self._told = True

    def fail(self, error: OSError | ValueError) -> None:
        """Write no more, because of an error that writing has raised."""
        if isinstance(error, BrokenPipeError):
            self.failure = "the reader of the output went away"
        else:
            reason = getattr(error, "strerror", None) or error
            self.failure = f"cannot write to standard output: {reason}"
        # The interpreter flushes once more on its way out and would complain a second time.
        with contextlib.suppress(OSError, ValueError):
            number = sys.stdout.fileno()
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


stdout = StandardOutput()


def say(text: str) -> None:
    """Print one line on standard output."""
    stdout.write(visible(text) + "\n")


def conclude(text: str) -> None:
    """Print a line that must be read: on standard error where standard output cannot be written."""
    say(text)
    if not stdout.flush():
        stdout.tell_failure()
        _say_on_standard_error(text)


def error_line(message: str) -> None:
    """Print ``error: ...`` on standard error, on one line whatever the message holds."""
    _say_on_standard_error("error: " + " ".join(message.split()))


def note_line(message: str) -> None:
    """Print ``note: ...`` on standard error, on one line whatever the message holds."""
    _say_on_standard_error("note: " + " ".join(message.split()))


def progress_line(message: str) -> None:
    """Print a line about work that goes on, on standard error."""
    _say_on_standard_error(message)


def _say_on_standard_error(text: str) -> None:
    # There is nowhere left to say that standard error fails.
    with contextlib.suppress(OSError, ValueError):
        print(visible(text), file=sys.stderr, flush=True)


class _Closed(io.TextIOBase):
    """Stands for a standard stream that was closed before the process began."""

    @property
    def closed(self) -> bool:
        # So that the interpreter does not flush it on its way out.
        return True

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def flush(self) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def prepare_streams() -> None:
    """Let every text be shown, and keep files that are opened from taking a closed stream's number."""
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # The lowest number that is free is this one's.
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, _Closed())
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            # File names need not be valid text; showing them must not fail.
            stream.reconfigure(errors="backslashreplace")
