"""``polyrestore train``: run a recipe."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyrestore.cli.progress import progress_bars
from polyrestore.cli.terminal import error_line, say, stdout, visible
from polyrestore.errors import RecipeError, StoppedError
from polyrestore.files import require_regular

if TYPE_CHECKING:
    from rich.progress import TaskID

    from polyrestore.training.loop.events import Event


def train_command(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A recipe, such as recipes/pretraining.toml.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for checkpoints, log and bundle; runs/NAME by default."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew instead of resuming.")] = False,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="Only a few steps, of a tiny network on generated images.")
    ] = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the recipe; may be repeated."),
    ] = None,
) -> None:
    """Train a backbone, adapters or a recogniser as a recipe says. Run again, it resumes."""
    try:
        # Before what takes seconds to import: a name that was mistyped is told at once.
        require_regular(recipe)
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {recipe}: {error.strerror}") from error

    from polyrestore.training.run import run_recipe

    with interrupts() as interrupted, shown_progress() as show:
        folder = run_recipe(
            recipe,
            output_folder=output,
            resume=not fresh,
            overrides=tuple(overrides or ()),
            tiny=tiny,
            on_event=show,
            stop_when=lambda: interrupted.signal is not None,
        )
    # torchrun numbers its processes; only the first one speaks.
    if os.environ.get("RANK", "0") == "0":
        say(f"written to {folder}")


@dataclass
class _Interrupts:
    """Which signal has asked for an end, if any."""

    signal: int | None = None


@contextmanager
def interrupts() -> Iterator[_Interrupts]:
    """Turn the first interrupt into a wish to stop, and end with its exit code; a second one acts at once."""
    found = _Interrupts()

    def take(number: int, frame: object) -> None:
        found.signal = number
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield found
    except StoppedError as error:
        error_line(str(error))
        raise typer.Exit(128 + (found.signal or signal.SIGINT)) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def shown_progress(quiet: bool = False) -> Iterator[Callable[[Event], None]]:
    """Show the progress of a run on the terminal, and what it says on lines of their own.

    Args:
        quiet: show nothing, where standard output is for something else.
    """
    from rich.console import Console

    from polyrestore.training.loop.events import Advanced, Noticed, Started

    console = Console()
    with progress_bars(console) as progress:
        tasks: list[TaskID] = []

        def show_line(text: str) -> None:
            for line in text.splitlines():
                if console.is_terminal:
                    console.print(visible(line), highlight=False, markup=False, soft_wrap=True)
                else:
                    say(line)
            # A log that cannot be written any more is no reason to stop a training.
            stdout.flush()

        def show(event: Event) -> None:
            if quiet:
                return
            if isinstance(event, Started):
                show_line(event.summary)
                for task in tasks:
                    progress.remove_task(task)
                tasks[:] = [
                    progress.add_task(event.name, total=event.steps or None, completed=event.first_step)
                ]
            elif isinstance(event, Advanced):
                progress.update(tasks[0], completed=event.step)
            elif isinstance(event, Noticed):
                show_line(event.message)

        yield show
