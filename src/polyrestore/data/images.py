"""Clean images and pairs held in memory, and random patches of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.data.alignment import aligned
from polyrestore.errors import DataError
from polyrestore.imaging import READABLE_SUFFIXES, read_image


@dataclass(frozen=True)
class Pair:
    """A damaged image and its clean counterpart, both uint8 (3, H, W) of one size."""

    name: str
    degraded: Tensor
    clean: Tensor


def is_image_name(name: str) -> bool:
    """Tell whether a file name, not a hidden one, has the ending of an image."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in READABLE_SUFFIXES


def image_paths(folder: Path) -> list[Path]:
    """List the images of a folder by name, without hidden files: what is being written is one for a moment.

    Raises:
        DataError: the folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}")
    paths = sorted(path for path in folder.iterdir() if is_image_name(path.name))
    if not paths:
        raise DataError(f"no images in {folder}")
    return paths


def load_pixels(source: Path | bytes, name: str | None = None) -> Tensor:
    """Read an image file, given its path or its bytes, as uint8 (3, H, W).

    Args:
        source: the path, or the bytes.
        name: what messages call the file; the path by default.

    Raises:
        ImageError: the file is missing, damaged or of a kind that cannot be read.
    """
    return (read_image(source, name=name).pixels * 255).round().to(torch.uint8)


def load_clean(folders: Sequence[Path]) -> list[Tensor]:
    """Read every image of some folders as uint8 (3, H, W)."""
    return [load_pixels(path) for folder in folders for path in image_paths(folder)]


def pair_paths(folder: Path) -> list[tuple[Path, Path]]:
    """Match the images of ``folder/input`` and ``folder/target`` by file name without its ending.

    Raises:
        DataError: a folder is missing, or a name has no partner.
    """
    inputs = {path.stem: path for path in image_paths(folder / "input")}
    targets = {path.stem: path for path in image_paths(folder / "target")}
    alone = sorted(inputs.keys() ^ targets.keys())
    if alone:
        shown = ", ".join(alone[:5]) + (" ..." if len(alone) > 5 else "")
        raise DataError(f"{len(alone)} files of {folder} have no partner: {shown}")
    return [(path, targets[stem]) for stem, path in inputs.items()]


def load_pairs(folder: Path) -> list[Pair]:
    """Read ``folder/input`` and ``folder/target``, matched by file name without its ending.

    Raises:
        DataError: a folder is missing, a name has no partner, or two partners differ in size.
    """
    pairs = []
    for path, target in pair_paths(folder):
        degraded, clean = load_pixels(path), load_pixels(target)
        if degraded.shape != clean.shape:
            sizes = f"{tuple(degraded.shape[1:])} and {tuple(clean.shape[1:])}"
            raise DataError(f"input and target {path.stem!r} of {folder} differ in size: {sizes}")
        pairs.append(Pair(path.stem, degraded, clean))
    return pairs


def random_patch(
    images: Sequence[Tensor], patch_px: int, zoom_out: float, generator: Generator, zoom_in: float = 1.0
) -> Tensor:
    """Cut one patch from images of the same scene, at the same place, with the same flips and turns.

    With a chance of one half a larger square is cut and reduced to the patch size, so that a patch shows
    as much of a scene as a photograph does; with one of a quarter a smaller one is enlarged.

    Args:
        images: uint8 tensors (3, H, W) of one size.
        patch_px: side of the patch.
        zoom_out: largest reduction; 1 cuts at full resolution always.
        generator: source of all randomness.
        zoom_in: largest enlargement; 1 for none. Photographs with more pixels than their lens resolves, or
            that were enlarged, are softer than those of the training sets and yet not damaged.

    Returns:
        (N, 3, P, P) float32 in [0, 1], one patch per image.
    """
    height, width = images[0].shape[1:]
    factor = 1.0
    draws = torch.rand(7, generator=generator).tolist()
    if zoom_out > 1 and draws[0] < 0.5:
        factor = 1 + draws[1] * (zoom_out - 1)
    elif zoom_in > 1 and draws[0] >= 0.75:
        factor = 1 / (1 + draws[1] * (zoom_in - 1))
    side = min(round(patch_px * factor), height, width)
    top, left = int(draws[2] * (height - side + 1)), int(draws[3] * (width - side + 1))
    patches = torch.stack([image[:, top : top + side, left : left + side] for image in images]).float() / 255
    if side != patch_px:
        patches = functional.interpolate(
            patches, size=(patch_px, patch_px), mode="bicubic", antialias=True, align_corners=False
        ).clamp(0, 1)
    if draws[4] < 0.5:
        patches = patches.flip(3)
    if draws[5] < 0.15:
        patches = patches.flip(2)
    if draws[6] < 0.15:
        patches = patches.transpose(2, 3)
    return patches.contiguous()


def align_pair(pair: Pair) -> Pair:
    """Shift a pair's degraded image onto its clean one by whole pixels, and cut the border off both.

    Raises:
        DataError: the images are too small for the search.
    """
    degraded, clean = aligned(pair.degraded.float() / 255, pair.clean.float() / 255)
    pixels = [(image * 255).round().to(torch.uint8).contiguous() for image in (degraded, clean)]
    return Pair(pair.name, *pixels)


def load_burst(folder: Path) -> list[Pair]:
    """Make motion-blurred pairs from bursts of sharp frames.

    Frames are grouped by the part of their name before the last underscore and sorted by name. Odd windows
    of every length from three frames up are averaged; the sharp image is the window's middle frame.

    Raises:
        DataError: no burst has three frames, or the frames of one differ in size.
    """
    bursts: dict[str, list[Tensor]] = {}
    for path in image_paths(folder):
        bursts.setdefault(path.stem.rpartition("_")[0], []).append(load_pixels(path))
    pairs = []
    for name, frames in bursts.items():
        if len({frame.shape for frame in frames}) > 1:
            raise DataError(f"the frames of burst {name!r} in {folder} differ in size")
        for length in range(3, len(frames) + 1, 2):
            start = (len(frames) - length) // 2
            window = torch.stack(frames[start : start + length]).float()
            blurred = window.mean(0).round().to(torch.uint8)
            pairs.append(Pair(f"{name}-{length}", blurred, frames[start + length // 2]))
    if not pairs:
        raise DataError(f"no burst of at least three frames in {folder}")
    return pairs
