"""``polyrestore train``: run a recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


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
    from polyrestore.training.run import run_recipe

    folder = run_recipe(
        recipe, output_folder=output, resume=not fresh, overrides=tuple(overrides or ()), tiny=tiny
    )
    # torchrun numbers its processes; only the first one speaks.
    if os.environ.get("RANK", "0") == "0":
        print(f"written to {folder}")
