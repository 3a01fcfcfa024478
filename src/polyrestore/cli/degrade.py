"""``polyrestore degrade``: damage images on purpose, to see what restoring makes of them."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path, PurePath
from typing import Annotated

import typer

from polyrestore.cli.common import AsJson, print_json
from polyrestore.cli.terminal import say
from polyrestore.errors import DegradationError, OutputError, UnknownDegradationError, unknown_name
from polyrestore.notation import read_names
from polyrestore.notes import Note

DEFAULT_SEVERITY = 0.5


def degrade_command(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE|FOLDER", help="An image file, or a folder of clean photographs.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write, or a folder for it or for the pairs.")
    ],
    with_: Annotated[
        str | None,
        typer.Option("--with", metavar="NAMES", help="Degradations and severities: rain=0.6,jpeg=0.4."),
    ] = None,
    mixture: Annotated[
        str | None,
        typer.Option("--mixture", metavar="NAME", help="A named mixture: haze+rain. See: list mixtures."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same image.")] = 0,
    crop_px: Annotated[
        int | None, typer.Option("--crop-px", min=1, help="Cut the centre out of a folder's photographs.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there already.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Damage an image on purpose, or make a test set of pairs from a folder of clean photographs.

    Severities go from 0, hardly visible, to 1, severe; a name alone has the severity 0.5. What happens first
    is applied first, whatever the order of the names. From a folder come OUTPUT/input and OUTPUT/target.
    """
    if (with_ is None) == (mixture is None):
        raise typer.BadParameter("give either --with rain=0.6,jpeg=0.4 or --mixture haze+rain")
    if not image.is_dir():
        from polyrestore.imaging import read_start

        # Before what takes seconds to import: a name that was mistyped is told at once.
        read_start(image)
    severities = _severities(with_, mixture)
    if image.is_dir():
        from polyrestore.data import write_mixture_set

        count = write_mixture_set(image, output, severities, seed=seed, crop_px=crop_px, overwrite=overwrite)
        if as_json:
            print_json(output=str(output), severities=dict(severities), pairs=count, notes=[], note_codes=[])
        else:
            say(f"{output}: {count} pair{'s' * (count != 1)}, {_text(severities)}")
        return
    if crop_px is not None:
        raise typer.BadParameter("--crop-px is for folders of photographs; a single image keeps its size")
    target, notes = _degrade_file(image, output, severities, seed, overwrite)
    if as_json:
        codes = [note.code for note in notes]
        print_json(output=str(target), severities=dict(severities), pairs=0, notes=notes, note_codes=codes)
        return
    say(f"{target}: {_text(severities)}")
    for note in notes:
        say(f"note: {note}")


def _severities(with_: str | None, mixture: str | None) -> Mapping[str, float]:
    from polyrestore.degradations import DEGRADATIONS, named_mixture

    # One of them is given, and no more.
    return (
        parse_severities(with_ or "", DEGRADATIONS) if mixture is None else named_mixture(mixture).severities
    )


def parse_severities(text: str, known: Collection[str]) -> dict[str, float]:
    """Return the severity by degradation name; a name alone has the severity 0.5.

    Args:
        text: names separated by commas, each with or without ``=`` and a number from 0 to 1.
        known: the names of all degradations.

    Raises:
        UnknownDegradationError: a name is not among ``known``; the nearest one is suggested.
        NotationError: a name is missing or given twice.
        DegradationError: there is no name, or a severity is no number from 0 to 1.
    """
    written = read_names(text)
    if not written:
        raise DegradationError("name at least one degradation, such as rain=0.6,jpeg=0.4")
    for name in written:
        if name not in known:
            raise unknown_name("degradation", name, known, UnknownDegradationError)
    return {
        name: DEFAULT_SEVERITY if value is None else _severity(name, value) for name, value in written.items()
    }


def _severity(name: str, value: str) -> float:
    try:
        severity = float(value)
    except ValueError:
        severity = math.nan
    if not 0 <= severity <= 1:
        raise DegradationError(f"the severity of {name} must be a number from 0 to 1, not {value!r}")
    return severity


def _degrade_file(
    image: Path, output: Path, severities: Mapping[str, float], seed: int, overwrite: bool
) -> tuple[Path, tuple[Note, ...]]:
    import torch

    from polyrestore.bulk.files import named_for_format
    from polyrestore.degradations import degrade
    from polyrestore.imaging import READABLE_SUFFIXES, WRITABLE_SUFFIXES, read_image, write_image

    source = read_image(image)
    names_file = output.suffix.lower() in WRITABLE_SUFFIXES and not output.is_dir()
    read_only = image.suffix.lower() in READABLE_SUFFIXES - WRITABLE_SUFFIXES
    name = named_for_format(PurePath(image.name), source.metadata.format) if read_only else image.name
    target = output if names_file else output / name
    if target.exists() and os.path.samefile(target, image):
        raise OutputError(f"{target} is the input and is not overwritten; choose another output")
    if os.path.lexists(target) and not overwrite:
        raise OutputError(f"{target} is there already; choose another output or pass --overwrite")
    # Torch takes 64 bits, of either sign; Python integers know no end.
    generator = torch.Generator().manual_seed(seed % 2**63)
    pixels = degrade(source.pixels.unsqueeze(0), severities, generator)[0]
    notes = (*source.notes, *write_image(target, pixels, source.metadata))
    return target, notes


def _text(severities: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {severity:g}" for name, severity in severities.items())
