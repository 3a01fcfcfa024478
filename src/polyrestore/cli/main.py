"""The ``polyrestore`` command, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from polyrestore import __version__
from polyrestore.cli.common import error_line
from polyrestore.cli.data import data_app
from polyrestore.cli.degrade import degrade_command
from polyrestore.cli.importing import import_command
from polyrestore.cli.inspect import inspect_command
from polyrestore.cli.listing import list_command
from polyrestore.cli.restore import restore_command
from polyrestore.cli.routing import route_command
from polyrestore.cli.train import train_command
from polyrestore.errors import PolyrestoreError
from polyrestore.plugins import load_plugin

_EMPTY_ARGUMENT = re.compile(r"(--[a-z-]+=)?")
# What these are given is no path, and their own messages say more.
_LISTS_OF_NAMES = ("--as", "--with")

app = typer.Typer(
    name="polyrestore",
    help="Restore damaged photographs: noise, rain, haze, blur, darkness and more, recognised automatically.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("restore")(restore_command)
app.command("inspect")(inspect_command)
app.command("degrade")(degrade_command)
app.command("train")(train_command)
app.command("import")(import_command)
app.command("route")(route_command)
app.command("list")(list_command)
app.add_typer(data_app)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    plugins: Annotated[
        list[Path] | None,
        typer.Option("--plugin", metavar="FILE", help="Python file that adds networks or strategies first."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False,
) -> None:
    """Restore damaged photographs: noise, rain, haze, blur, darkness and more, recognised automatically."""
    if version:
        print(f"polyrestore {__version__}")
        raise typer.Exit
    for path in plugins or ():
        load_plugin(path)
    if context.invoked_subcommand is None:
        print(context.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code: 0, 1 for an error, 2 for a wrong call.

    Errors that are expected become one line on standard error; a defect keeps its traceback.
    """
    # An empty path would be read as the folder one is in.
    empty = (before for before, argument in pairwise(["", *arguments]) if _EMPTY_ARGUMENT.fullmatch(argument))
    if any(before not in _LISTS_OF_NAMES for before in empty):
        error_line("an argument is empty where a path or a value belongs (see polyrestore --help)")
        return 2
    command = typer.main.get_command(app)
    try:
        with command.make_context("polyrestore", list(arguments)) as context:
            command.invoke(context)
        # Otherwise a closed pipe would only be noticed when the interpreter shuts down.
        sys.stdout.flush()
    except typer.Exit as leaving:
        return int(leaving.exit_code)
    except PolyrestoreError as error:
        error_line(str(error))
        return 1
    except (KeyboardInterrupt, typer.Abort):
        error_line("interrupted")
        return 1
    except BrokenPipeError:
        # The interpreter flushes once more on its way out and would complain a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        error_line("the reader of the output went away")
        return 1
    except Exception as error:
        # typer's own usage errors share no public base class across its versions.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        error_line(f"{message()} (see polyrestore --help)")
        return int(getattr(error, "exit_code", 2))
    return 0


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        # File names need not be valid text; showing them must not fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))
