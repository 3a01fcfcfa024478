"""URLs as inputs and as the output folder: what they are, and what cannot be had with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from polyrestore.storage.urls import as_place, is_url

ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FOLDER",
        help="For the report, where results go to a URL; by default one that is named after it.",
    ),
]


def read_places(
    inputs: Sequence[str], output: str, report: Path | None, refused: Mapping[str, bool]
) -> tuple[list[str | Path], str | Path]:
    """Return the inputs and the output folder, each a path or a URL.

    Args:
        inputs: as they were given.
        output: likewise.
        report: the folder for the report, where one was named.
        refused: whether options were given that are not for URLs, by name.

    Raises:
        BadParameter: options do not go together with these.
        StorageError: a URL is not taken.
    """
    places, folder = [as_place(given) for given in inputs], as_place(output)
    if any(map(is_url, [*places, folder])):
        for option, given in refused.items():
            if given:
                raise typer.BadParameter("cannot be had with URLs", param_hint=option)
    if report is not None and not is_url(folder):
        raise typer.BadParameter(
            "is for results behind a URL; others have it beside them", param_hint="--report"
        )
    return places, folder
