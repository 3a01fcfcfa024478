"""Sets of pairs made from clean photographs, each damaged by the same mixture of degradations."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from torch import Generator, Tensor

from polyrestore.data.batch import mixed_seed
from polyrestore.data.images import image_paths, load_pixels
from polyrestore.degradations import degrade, in_order
from polyrestore.errors import DataError, OutputError
from polyrestore.files import write_text
from polyrestore.imaging import ImageMetadata, write_image

DESCRIPTION_NAME = "mixture.json"


def damaged_alike(image: Tensor, severities: Mapping[str, float], name: str, seed: int = 0) -> Tensor:
    """Damage one image of a set; what is drawn depends on its name, the degradations and the seed alone.

    Args:
        image: (3, H, W), RGB in [0, 1].
        severities: severity in [0, 1] by degradation; they are applied in the order in which they happen.
        name: of the image, unique in its set.
        seed: another one gives another set.

    Returns:
        (3, H, W) in [0, 1], in steps of 1/255.

    Raises:
        UnknownNameError: a name is not a degradation.
        DegradationError: a severity is not in [0, 1].
    """
    generator = Generator().manual_seed(mixed_seed(seed, "+".join(sorted(severities)), name))
    return degrade(image.unsqueeze(0), severities, generator)[0]


def centre_crop(image: Tensor, side_px: int | None) -> Tensor:
    """Cut (3, H, W) down to at most ``side_px`` on each side, around its centre; None cuts nothing."""
    if side_px is None:
        return image
    height, width = image.shape[-2:]
    tall, wide = min(height, side_px), min(width, side_px)
    top, left = (height - tall) // 2, (width - wide) // 2
    return image[..., top : top + tall, left : left + wide]


def write_mixture_set(
    folder: Path,
    output: Path,
    severities: Mapping[str, float],
    *,
    seed: int = 0,
    crop_px: int | None = None,
    overwrite: bool = False,
) -> int:
    """Write ``output/input`` and ``output/target``: every photograph of a folder damaged, and as it was.

    All files are 8-bit PNG under the photograph's name, and ``output/mixture.json`` says how they were made.
    A pair does not depend on what else lies in the folder.

    Args:
        folder: holds clean photographs; sub-folders are not looked into.
        output: made when missing.
        severities: severity in [0, 1] by degradation.
        seed: another one gives another set.
        crop_px: cut so much from the centre of larger photographs; None keeps them whole.
        overwrite: replace files that are there already.

    Returns:
        the number of pairs.

    Raises:
        DataError: the folder is missing, holds no image or two that would get the same name, or the crop is
            below 1 px.
        ImageError: an image cannot be read; the pairs before it are written.
        OutputError: the output folder lies in the input folder or would overwrite it, a file is there
            already, or one cannot be written.
        UnknownNameError: a name is not a degradation.
        DegradationError: a severity is not in [0, 1].
    """
    if crop_px is not None and crop_px < 1:
        raise DataError(f"the crop must be at least 1 px, not {crop_px}")
    sources = _named_sources(folder)
    targets = {stem: _pair_of(output, stem) for stem in sources}
    _require_free(folder, output, [path for pair in targets.values() for path in pair], overwrite)
    for stem, source in sources.items():
        clean = centre_crop(load_pixels(source).float() / 255, crop_px)
        damaged = damaged_alike(clean, severities, stem, seed)
        for path, pixels in zip(targets[stem], (damaged, clean), strict=True):
            write_image(path, pixels, ImageMetadata())
    about = {
        "degradations": {name: severities[name] for name in in_order(severities)},
        "seed": seed,
        "crop_px": crop_px,
        "pairs": len(sources),
    }
    write_text(output / DESCRIPTION_NAME, json.dumps(about, indent=2) + "\n")
    return len(sources)


def _named_sources(folder: Path) -> dict[str, Path]:
    sources: dict[str, Path] = {}
    # Some file systems cannot hold two names that differ in case only.
    taken: dict[str, Path] = {}
    for path in image_paths(folder):
        other = taken.setdefault(path.stem.casefold(), path)
        if other != path:
            raise DataError(f"{other.name} and {path.name} of {folder} would have one name; rename one")
        sources[path.stem] = path
    return sources


def _pair_of(output: Path, stem: str) -> tuple[Path, Path]:
    return output / "input" / f"{stem}.png", output / "target" / f"{stem}.png"


def _require_free(folder: Path, output: Path, targets: list[Path], overwrite: bool) -> None:
    """Raise when writing would touch the photographs, leave the output folder or cost somebody a file."""
    source, root = os.path.realpath(folder), os.path.realpath(output)
    if source == root or root.startswith(os.path.join(source, "")):
        raise OutputError(f"{output} lies in the input folder {folder}; choose an output folder outside it")
    for part in ("input", "target"):
        place = os.path.realpath(output / part)
        if place == source:
            raise OutputError(f"{output / part} is the input folder; choose another output folder")
        if place != os.path.join(root, part):
            raise OutputError(f"{output / part} leads out of the output folder through a link")
    description = output / DESCRIPTION_NAME
    present = [path for path in (*targets, description) if os.path.lexists(path)]
    if present and not overwrite:
        more = f" and {len(present) - 1} more" if len(present) > 1 else ""
        raise OutputError(
            f"{present[0]}{more} is there already; choose another output folder or allow overwriting"
        )
