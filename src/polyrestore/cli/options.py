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
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def recognition_settings(
    temperature: float | None, top_k: int | None, normalisation: str | None
) -> dict[str, float | int | str]:
    """Return the recognition settings that were given."""
    given = {"temperature": temperature, "top_k": top_k, "normalisation": normalisation}
    return {name: value for name, value in given.items() if value is not None}
