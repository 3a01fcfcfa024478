"""``polyrestore import``: published weights become a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyrestore.cli.common import (
    AsJson,
    print_json,
)
from polyrestore.cli.terminal import say


def import_command(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A .pth, .pt, .ckpt or .safetensors file; or a diffusion model's folder or hub name.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the bundle; it must be new.")],
    name: Annotated[str | None, typer.Option(help="Of the bundle; the file's name by default.")] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="SPDX", help="Licence of the weights, such as MIT.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the network; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a bundle of published weights: Restormer, NAFNet, AirNet, TransWeather, PromptIR.

    The network and its options are recognised from the weights. Code in the file is not run. A latent
    diffusion model (SD-Turbo, ...) stays where it is, and the bundle names it.
    """
    from polyrestore.bundles import import_checkpoint
    from polyrestore.notation import read_assignment

    options = dict(read_assignment(entry, "heads=[1,2,4,8]") for entry in overrides or ())
    imported = import_checkpoint(checkpoint, output, name=name, licence=licence, options=options)
    if as_json:
        print_json(**{**vars(imported), "folder": str(imported.folder)})
        return
    where = f", found in {' / '.join(imported.found_in)}" if imported.found_in else ""
    say(f"{imported.folder}: {imported.backbone}, {imported.parameters:,} parameters{where}")
    say("options: " + ", ".join(f"{key} {value}" for key, value in imported.options.items()))
    if imported.assumed:
        assumed = ", ".join(f"{key} {value}" for key, value in imported.assumed.items())
        say(f"note: the weights do not tell these, published values were taken: {assumed}")
    if licence is None:
        say("note: the licence of the weights is not known; state it with --licence")
