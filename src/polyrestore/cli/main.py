"""The process of the command, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import errno
import os
import re
import sys
import warnings
from collections.abc import Sequence
from itertools import pairwise

from polyrestore.cli.stopping import exit_code, stop_by_exception
from polyrestore.cli.terminal import error_line, prepare_streams, stdout
from polyrestore.errors import PolyrestoreError

_EMPTY_ARGUMENT = re.compile(r"(--[a-z-]+=)?")
# What these are given is no path, and their own messages say more.
_LISTS_OF_NAMES = ("--as", "--with")
_OF_STANDARD_OUTPUT = (errno.EPIPE, errno.ENOSPC, errno.EBADF)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code.

    Errors that are expected become one line on standard error; a defect keeps its traceback.

    Returns:
        0; 1 for an error, standard output that cannot be written among them; 2 for a wrong call; 130 for an
        interrupt, and 128 and its number for another signal.
    """
    # An empty path would be read as the folder one is in.
    empty = (before for before, argument in pairwise(["", *arguments]) if _EMPTY_ARGUMENT.fullmatch(argument))
    if any(before not in _LISTS_OF_NAMES for before in empty):
        error_line("an argument is empty where a path or a value belongs (see polyrestore --help)")
        return 2
    try:
        # Libraries need one too, and end the process where there is none.
        os.getcwd()
    except OSError:
        error_line(
            "the folder that the command was started in is not there any more; start it in another one"
        )
        return 1
    stdout.restart()
    try:
        code = _run(arguments)
    except PolyrestoreError as error:
        error_line(str(error))
        return 1
    except KeyboardInterrupt as stop:
        error_line("interrupted")
        return exit_code(stop)
    except OSError as error:
        if error.filename is not None:
            # Looking at a path can fail wherever one is given: it is too long, or in a folder of others.
            error_line(f"cannot use {os.fsdecode(error.filename)}: {error.strerror or error}")
            return 1
        # Help is printed by typer; elsewhere errors of files have become the package's own.
        if error.errno not in _OF_STANDARD_OUTPUT and not isinstance(error, BrokenPipeError):
            raise
        stdout.fail(error)
        code = 1
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        error_line(f"not enough memory ({' '.join(str(error).split()) or type(error).__name__})")
        return 1
    if stdout.flush():
        return code
    stdout.tell_failure()
    return code or 1


def _run(arguments: Sequence[str]) -> int:
    import typer

    from polyrestore.cli.application import app

    command = typer.main.get_command(app)
    try:
        with command.make_context("polyrestore", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as leaving:
        return int(leaving.exit_code)
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except Exception as error:
        # typer's own usage errors share no public base class across its versions.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        error_line(f"{message()} (see polyrestore --help)")
        return int(getattr(error, "exit_code", 2))
    return 0


def _is_out_of_memory(error: Exception) -> bool:
    if "torch" not in sys.modules:
        return isinstance(error, MemoryError)
    from polyrestore.devices import is_out_of_memory

    return is_out_of_memory(error)


def main() -> None:
    """Run the command line of this process."""
    stop_by_exception()
    prepare_streams()
    # Feature maps come and go by the hundred megabytes. In huge pages, where the system has them, that costs
    # a fraction. Torch asks once, at its first tensor.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Threads that wait for each other spin, by default for so long that beside two busy programs a megapixel
    # takes 17 times as long. Read when torch is imported.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    if not sys.warnoptions:
        # What libraries warn their callers of is nothing that a user could act on.
        warnings.simplefilter("ignore")
    sys.exit(run(sys.argv[1:]))
