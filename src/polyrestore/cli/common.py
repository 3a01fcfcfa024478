"""What several commands share: their options, and how they show tables and JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyrestore.cli.terminal import note_line, stdout, visible

if TYPE_CHECKING:
    from polyrestore.bulk.one_file import RestoreTask
    from polyrestore.restoration.restorer import Restorer

BUNDLE_FORMS = "NAME|FOLDER|OWNER/NAME"
"""A shipped bundle, a folder, or a repository on the Hugging Face hub."""

Bundle = Annotated[
    str,
    typer.Option(
        "--bundle", metavar=BUNDLE_FORMS, help="The model: a shipped bundle, a folder, or one on the hub."
    ),
]
CopiedBundle = Annotated[
    str | None, typer.Option("--bundle", metavar=BUNDLE_FORMS, help="What a new one is a copy of; default.")
]
Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1, ...; the GPU when there is one.")
]
Temperature = Annotated[
    float | None,
    typer.Option(metavar="T", help="Of the recognition; lower makes the largest weight larger."),
]
TopK = Annotated[
    int | None, typer.Option("--top-k", min=1, metavar="K", help="At most K adapters act on one image.")
]
Normalisation = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Of the K weights: softmax, sum, max or none."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead (docs/json.md).")]

NAME_WIDTH = 24
JSON_FORMAT = 1
"""Version of the objects that ``--json`` prints; it rises when one of before would be misread."""


def require_bundle(bundle: str, as_: str | None = None) -> None:
    """Refuse a bundle that is not there, and adapters that it does not have, before torch is imported.

    One on the hub is downloaded where the cache lacks it.

    Args:
        bundle: the name or folder that was given.
        as_: the composition that was given, if one was.

    Raises:
        PolyrestoreError: there is no such bundle, or no such adapter in it.
    """
    from polyrestore.bundles import listed_adapters
    from polyrestore.restoration.naming import require_named

    adapters = listed_adapters(bundle)
    # Of a bundle without any there is more to say than that one is missing.
    if as_ is not None and adapters:
        require_named(as_, adapters)


def open_task(task: RestoreTask) -> tuple[RestoreTask, Restorer]:
    """Open a task, and settle which runtime it is for all processes that do it; a new choice is told.

    Raises:
        PolyrestoreError: it cannot be opened.
    """
    restorer = task.open()
    if restorer.runtime.chosen is not None:
        note_line(restorer.runtime.chosen)
    return replace(task, runtime=restorer.runtime.name), restorer


def weights_text(weights: Mapping[str, float], nothing: str = "clean") -> str:
    """Return "rain 0.70, noise 0.30", largest first, or ``nothing`` when no adapter acts."""
    ordered = sorted(weights.items(), key=lambda entry: -entry[1])
    return ", ".join(f"{name} {weight:.2f}" for name, weight in ordered) or nothing


def print_json(**values: Any) -> None:
    """Print one object of indented JSON; docs/json.md says what each command puts into it."""
    stdout.write(json.dumps({"format": JSON_FORMAT, **values}, indent=2) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table as wide as the terminal allows; longer cells are wrapped, but short names stay whole.

    Underscores in headings become spaces, where they can be wrapped.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    content = list(rows)
    names = min(NAME_WIDTH, max((len(row[0]) for row in content), default=0))
    for index, column in enumerate(columns):
        table.add_column(column.replace("_", " "), overflow="fold", min_width=None if index else names)
    for row in content:
        table.add_row(*(Text(visible(cell)) for cell in row))
    # Not straight to standard output, whose failures are no business of a table.
    target = Console()
    shown = io.StringIO()
    console = Console(file=shown, width=target.width, force_terminal=target.is_terminal)
    console.print(table)
    stdout.write(shown.getvalue())


def recognition_settings(
    temperature: float | None, top_k: int | None, normalisation: str | None
) -> dict[str, float | int | str]:
    """Return the recognition settings that were given."""
    given = {"temperature": temperature, "top_k": top_k, "normalisation": normalisation}
    return {name: value for name, value in given.items() if value is not None}
