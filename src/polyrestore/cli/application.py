"""The commands of ``polyrestore``, put together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyrestore import __version__
from polyrestore.cli.adapters import adapters_app
from polyrestore.cli.app import app_command
from polyrestore.cli.data import data_app
from polyrestore.cli.degrade import degrade_command
from polyrestore.cli.evaluate import evaluate_command
from polyrestore.cli.export import export_command
from polyrestore.cli.importing import import_command
from polyrestore.cli.inspect import inspect_command
from polyrestore.cli.listing import list_command
from polyrestore.cli.restore import restore_command
from polyrestore.cli.routing import route_command
from polyrestore.cli.teach import teach_command
from polyrestore.cli.terminal import say, stdout
from polyrestore.cli.train import train_command
from polyrestore.plugins import load_plugin

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
app.command("evaluate")(evaluate_command)
app.command("train")(train_command)
app.command("teach")(teach_command)
app.command("import")(import_command)
app.command("export")(export_command)
app.command("route")(route_command)
app.command("list")(list_command)
app.command("app")(app_command)
app.add_typer(adapters_app)
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
        say(f"polyrestore {__version__}")
        raise typer.Exit
    for path in plugins or ():
        load_plugin(path)
    if context.invoked_subcommand is None:
        stdout.write(context.get_help() + "\n")
