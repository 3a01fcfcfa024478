"""``polyrestore degrade``: damage an image on purpose, to see what restoring makes of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from polyrestore.errors import OutputError


def degrade_command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    with_: Annotated[
        str, typer.Option("--with", metavar="NAMES", help="Degradations and severities: rain=0.6,jpeg=0.4.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write, or a folder for it.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same image.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there already.")
    ] = False,
) -> None:
    """Damage an image on purpose.

    Severities go from 0, hardly visible, to 1, severe; a name alone has the severity 0.5.
    """
    import torch

    from polyrestore.cli.severities import parse_severities
    from polyrestore.degradations import DEGRADATIONS, degrade
    from polyrestore.imaging import READABLE_SUFFIXES, read_image, write_image

    severities = parse_severities(with_, DEGRADATIONS)
    source = read_image(image)
    names_file = output.suffix.lower() in READABLE_SUFFIXES and not output.is_dir()
    target = output if names_file else output / image.name
    if target.exists() and os.path.samefile(target, image):
        raise OutputError(f"{target} is the input and is not overwritten; choose another output")
    if os.path.lexists(target) and not overwrite:
        raise OutputError(f"{target} is there already; choose another output or pass --overwrite")
    # Torch takes 64 bits, of either sign; Python integers know no end.
    generator = torch.Generator().manual_seed(seed % 2**63)
    pixels = degrade(source.pixels.unsqueeze(0), severities, generator)[0]
    notes = (*source.notes, *write_image(target, pixels, source.metadata))
    print(f"{target}: " + ", ".join(f"{name} {severity:g}" for name, severity in severities.items()))
    for note in notes:
        print(f"note: {note}")
