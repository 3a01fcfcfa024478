"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Bundle = Annotated[
    str, typer.Option("--bundle", metavar="NAME|FOLDER", help="The model: a shipped bundle or a folder.")
]
Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1, ...; the GPU when there is one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
