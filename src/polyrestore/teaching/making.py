"""Pairs made of clean photographs: by a function of the user's own, or by degradations that are known."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol

import torch
from torch import Generator, Tensor

from polyrestore.data import Pair, mixed_seed
from polyrestore.data.images import image_paths, load_pixels
from polyrestore.degradations import DEGRADATIONS, degrade
from polyrestore.errors import (
    DataError,
    DegradationError,
    NotationError,
    PluginError,
    UnknownDegradationError,
    unknown_name,
)
from polyrestore.notation import read_names
from polyrestore.plugins import load_plugin
from polyrestore.teaching.pairs import (
    LEAST_PAIRS,
    LEAST_PX,
    CheckedPairs,
    leave_out_useless,
    require_enough,
)

SEVERITIES = (0.2, 0.9)
# Few photographs are each damaged in several ways, of many some are chosen.
_FEWEST, _MOST = 48, 240
_MIDDLE_PX = 640


class Damage(Protocol):
    """Damages one image (3, H, W), RGB in [0, 1], with all randomness from a generator; the shape stays."""

    def __call__(self, image: Tensor, generator: Generator) -> Tensor:
        """Return the damaged image."""


def find_function(place: str) -> Damage:
    """Return the function that a user names: ``file.py:name`` or ``package.module:name``.

    What it is in is run, as a plugin is: only code that the user names.

    Raises:
        PluginError: it is not written so, the file or module cannot be run, or has no such function.
    """
    where, _, name = place.rpartition(":")
    if not where or not name:
        raise PluginError(f"{place!r} names no function; write file.py:name or package.module:name")
    if where.endswith(".py"):
        module = load_plugin(Path(where))
    else:
        try:
            module = importlib.import_module(where)
        except Exception as error:
            raise PluginError(f"cannot import {where}: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise PluginError(f"{where} has no function {name!r}")

    def damage(image: Tensor, generator: Generator) -> Tensor:
        try:
            damaged = function(image, generator)
        except Exception as error:
            raise PluginError(f"the function {place} fails: {type(error).__name__}: {error}") from error
        return _checked(damaged, image, place)

    return damage


def mix_known(text: str) -> Damage:
    """Return what damages with several known degradations at once: ``low_light,noise``.

    Their severities are drawn for each image, between 0.2 and 0.9.

    Raises:
        UnknownNameError: one of them cannot be synthesised.
        NotationError: the text is not written so, or gives severities.
        DegradationError: none is named.
    """
    written = read_names(text)
    if not written:
        raise DegradationError("name at least one degradation, such as low_light,noise")
    for name, severity in written.items():
        if name not in DEGRADATIONS:
            raise unknown_name("degradation", name, DEGRADATIONS, UnknownDegradationError)
        if severity is not None:
            raise NotationError(f"{text!r} gives a severity; here they are drawn, so name {name} alone")

    def damage(image: Tensor, generator: Generator) -> Tensor:
        low, high = SEVERITIES
        drawn = (low + (high - low) * torch.rand(len(written), generator=generator)).tolist()
        return degrade(image[None], dict(zip(written, drawn, strict=True)), generator)[0]

    return damage


def make_pairs(folder: Path, damage: Damage, seed: int) -> CheckedPairs:
    """Damage the clean photographs of a folder, or the middle of large ones.

    Few are each damaged in several ways, of more than 240 some are chosen.

    Raises:
        DataError: the folder is missing, or holds fewer than four photographs that can be damaged.
        ImageError: a photograph cannot be read.
        PluginError: the function fails, or what it returns is no image of the same shape.
    """
    paths = image_paths(folder)
    chosen = [paths[index * len(paths) // _MOST] for index in range(_MOST)] if len(paths) > _MOST else paths
    ways = max(1, -(-_FEWEST // len(chosen)))
    found, notes = [], []
    for path in chosen:
        clean = _middle(load_pixels(path))
        if min(clean.shape[1:]) < LEAST_PX:
            notes.append(f"left out, since it is smaller than {LEAST_PX}x{LEAST_PX} px: {path.name}")
            continue
        for way in range(ways):
            generator = Generator().manual_seed(mixed_seed(seed, path.name, way))
            damaged = damage(clean.float() / 255, generator)
            # The number at its end makes all ways one scene.
            pair = Pair(f"{path.stem}-{way}", (damaged * 255).round().to(torch.uint8), clean)
            found.append((pair, path))
    if len({path for _, path in found}) < LEAST_PAIRS:
        raise DataError(f"{folder} has too few photographs to learn from; give at least {LEAST_PAIRS}")
    kept, told = leave_out_useless(found)
    pairs, targets = tuple(pair for pair, _ in kept), tuple(path for _, path in kept)
    return require_enough(CheckedPairs(pairs, targets, (*notes, *told)))


def _checked(damaged: object, image: Tensor, place: str) -> Tensor:
    if not isinstance(damaged, Tensor) or damaged.shape != image.shape:
        what = f"a tensor {tuple(damaged.shape)}" if isinstance(damaged, Tensor) else type(damaged).__name__
        raise PluginError(f"the function {place} returns {what}, not a tensor {tuple(image.shape)}")
    if not bool(torch.isfinite(damaged).all()):
        raise PluginError(f"the function {place} returns values that are not finite")
    return damaged.detach().float().clamp(0, 1)


def _middle(image: Tensor) -> Tensor:
    height, width = (min(_MIDDLE_PX, side) for side in image.shape[1:])
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width].contiguous()
