"""``polyrestore inspect``: what an image file holds, and what is wrong with the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyrestore.cli.common import (
    AsJson,
    Bundle,
    Device,
    Normalisation,
    Temperature,
    TopK,
    print_json,
    print_table,
    recognition_settings,
    require_bundle,
    weights_text,
)
from polyrestore.cli.terminal import error_line
from polyrestore.errors import PolyrestoreError

if TYPE_CHECKING:
    from polyrestore.imaging import Image
    from polyrestore.restoration.restorer import Restorer


def inspect_command(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Image files.")],
    bundle: Bundle = "default",
    device: Device = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    normalisation: Normalisation = None,
    as_json: AsJson = False,
) -> None:
    """Show what is wrong with images, and what they hold."""
    recognition = recognition_settings(temperature, top_k, normalisation)
    if any(_can_be_opened(path) for path in images):
        require_bundle(bundle)
        from polyrestore.restoration.opening import load

        restorer = load(bundle, device, settings=recognition)
        entries = [_entry(path, lambda path: _inspect(path, restorer)) for path in images]
    else:
        # Nothing that takes seconds to import is needed to say so.
        from polyrestore.imaging import read_start

        entries = [_entry(path, read_start) for path in images]
    if as_json:
        print_json(files=entries)
    else:
        good = [entry for entry in entries if "error" not in entry]
        if good:
            print_table(
                ("file", "composition", "maybe", "most similar", "content"), [_row(entry) for entry in good]
            )
    if any("error" in entry for entry in entries):
        raise typer.Exit(1)


def _can_be_opened(path: Path) -> bool:
    from polyrestore.imaging import read_start

    try:
        read_start(path)
    except PolyrestoreError:
        return False
    return True


def _entry(path: Path, inspect: Callable[[Path], Any]) -> dict[str, Any]:
    """Return what is found out about a file, or its error, which is shown."""
    try:
        entry: dict[str, Any] = inspect(path)
    except PolyrestoreError as error:
        error_line(str(error))
        return {"file": str(path), "error": str(error)}
    return entry


def _inspect(path: Path, restorer: Restorer) -> dict[str, Any]:
    from polyrestore.imaging import read_image

    image = read_image(path)
    recognition = restorer.recognise(image)
    return {
        "file": str(path),
        **_facts(image),
        "weights": _rounded(recognition.weights),
        "probabilities": _rounded(recognition.probabilities),
        "uncertain": _rounded(recognition.uncertain),
        "severities": _rounded(recognition.severities),
        "similarities": _rounded(recognition.similarities),
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in values.items()}


def _facts(image: Image) -> dict[str, Any]:
    metadata = image.metadata
    return {
        "format": metadata.format,
        "width": int(image.pixels.shape[2]),
        "height": int(image.pixels.shape[1]),
        "mode": metadata.mode,
        "bit_depth": metadata.bit_depth,
        "grey": metadata.grey,
        "alpha": metadata.alpha is not None,
        "lossless": metadata.lossless,
        "orientation": metadata.orientation,
        "icc_profile": metadata.icc_profile is not None,
        "exif": metadata.exif is not None,
        "dpi": metadata.dpi,
        "notes": list(image.notes),
        "note_codes": [note.code for note in image.notes],
    }


def _row(entry: dict[str, Any]) -> tuple[str, str, str, str, str]:
    similarities = sorted(entry["similarities"].items(), key=lambda item: -item[1])[:3]
    parts = [
        f"{entry['format']} {entry['width']}x{entry['height']}",
        f"{entry['mode']}, {entry['bit_depth']} bit",
    ]
    parts += [name for name in ("alpha", "icc_profile", "exif") if entry[name]]
    parts += entry["notes"]
    nearest = ", ".join(f"{name} {value:.2f}" for name, value in similarities)
    maybe = ", ".join(f"{name} {value:.2f}" for name, value in entry["uncertain"].items())
    return entry["file"], weights_text(entry["weights"]), maybe, nearest, "; ".join(parts)
