"""A run without a network: what the tests of many files share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
import torch

from polyrestore.bulk.engines.local import restore_here
from polyrestore.bulk.files import find_jobs
from polyrestore.bulk.one_file import RestoreTask
from polyrestore.bulk.report import PENDING_NAME, REPORT_NAME
from polyrestore.bulk.run import RunSummary, restore_files
from polyrestore.imaging import Image, ImageMetadata, write_image
from polyrestore.imaging.levels import to_floats
from polyrestore.notes import Note
from polyrestore.restoration.restorer import Restorer


@dataclass
class FakeRecognition:
    weights: dict[str, float]
    similarities: dict[str, float]

    def remarks(self) -> tuple[Note, ...]:
        return (Note("uncertain", "maybe haze, 0.45; --as haze to apply"),)


@dataclass
class FakeRestored:
    pixels: torch.Tensor
    weights: dict[str, float] = field(default_factory=lambda: {"noise": 0.75})
    recognition: FakeRecognition | None = field(
        default_factory=lambda: FakeRecognition({"noise": 0.75}, {"noise": 0.9, "clean": 0.1})
    )
    seconds: float = 0.5
    metadata: ImageMetadata = field(default_factory=ImageMetadata)


@dataclass
class FakeExplanation:
    restored: FakeRestored
    names: tuple[str, ...] = ("0-backbone.png", "weights.json")

    def files(self) -> dict[str, Callable[[], bytes]]:
        return {name: name.encode for name in self.names}


@dataclass
class FakeRestorer:
    """Restores and explains by functions of the pixels alone."""

    restore_one: Callable[[torch.Tensor], Any]
    explain_one: Callable[[torch.Tensor], Any] | None = None
    scale: int = 1

    def restore(self, image: Image, as_: object, strength: float, *, dtype: torch.dtype) -> Any:
        restored = self.restore_one(to_floats(image.pixels))
        if isinstance(restored, FakeRestored):
            restored.metadata = image.metadata
        return restored

    def explain(self, image: Image, as_: object, strength: float) -> Any:
        assert self.explain_one is not None
        return self.explain_one(to_floats(image.pixels))


def darken(pixels: torch.Tensor) -> FakeRestored:
    return FakeRestored(pixels * 0.5)


def leave(pixels: torch.Tensor) -> FakeRestored:
    return FakeRestored(pixels, weights={})


def refuse(pixels: torch.Tensor) -> NoReturn:
    pytest.fail("an image that is done already was processed again")


def restore_with(
    inputs: Sequence[str | Path],
    output: str | Path,
    restore_one: Callable[[torch.Tensor], Any],
    *,
    recursive: bool = False,
    explain_one: Callable[[torch.Tensor], Any] | None = None,
    identity: dict[str, Any] | None = None,
    file_format: str | None = None,
    **options: Any,
) -> RunSummary:
    """Restore files as the command does, with functions in place of a network."""
    restorer = cast(Restorer, FakeRestorer(restore_one, explain_one))
    return restore_files(
        RestoreTask(explain=explain_one is not None, format=file_format),
        find_jobs(inputs, Path(output), recursive=recursive),
        output,
        partial(restore_here, restorer=restorer),
        identity=identity or {},
        **options,
    )


def make_image(path: Path, value: float = 0.8, **metadata: Any) -> Path:
    write_image(path, torch.full((3, 5, 4), value), ImageMetadata(**metadata))
    return path


def lines(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / REPORT_NAME).read_text().splitlines()]


def images(output: Path) -> list[str]:
    return sorted(
        path.relative_to(output).as_posix()
        for path in output.rglob("*")
        if path.is_file() and path.name not in (REPORT_NAME, PENDING_NAME)
    )
