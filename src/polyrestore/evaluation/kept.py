"""What was measured before an evaluation was interrupted, found again by all that decides about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from polyrestore.data.images import load_pixels
from polyrestore.data.samples import Sample
from polyrestore.evaluation.results import ImageResult, image_as_json
from polyrestore.evaluation.scores import Score
from polyrestore.imaging import ImageMetadata, write_image


class Lines(Protocol):
    """A text file that only grows, line by line."""

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield where each line begins, and its bytes."""

    def append(self, *lines: str) -> None:
        """Add lines of ASCII."""


@dataclass(frozen=True)
class KeptResults:
    """The results of images, each under a hash of all that decides about it, and the pictures that were made.

    Whatever changes, the weights, a file, the protocol or the metrics, changes the hash, so that a result is
    found only where measuring again would give the same.

    Attributes:
        journal: where a line for each image is added.
        pictures: the folder of the restored images, as 8-bit PNG files.
        identity: of what restores the images, as plain JSON values.
        records: what is known, by hash.
    """

    journal: Lines
    pictures: Path
    identity: Mapping[str, Any] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, journal: Lines, pictures: Path) -> KeptResults:
        """Return what a journal holds; lines that cannot be read are as good as absent."""
        kept = cls(journal, pictures)
        for _, line in journal.lines():
            try:
                record = json.loads(line)
                kept.records[str(record["key"])] = record
            except (ValueError, KeyError, TypeError):
                continue
        return kept

    def of(self, identity: Mapping[str, Any]) -> KeptResults:
        """Return the same results, of which only those by a restorer with this identity are found."""
        return replace(self, identity=identity)

    def key(self, sample: Sample, how: Mapping[str, Any]) -> str:
        """Return the hash of all that decides about an image's result.

        Args:
            sample: where the image lies; its bytes count, not its name.
            how: it is measured, as plain JSON values.

        Raises:
            DataError: a file cannot be read.
        """
        files = [file.content() for file in (sample.clean, sample.degraded) if file is not None]
        decisive = {
            "identity": dict(self.identity),
            "how": dict(how),
            "files": [hashlib.sha256(content).hexdigest() for content in files],
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True, default=str).encode()).hexdigest()

    def find(self, key: str) -> ImageResult | None:
        """Return the result under a hash; None where there is none, or its picture is gone."""
        record = self.records.get(key)
        if record is None or (record.get("picture") and not self._picture(key).is_file()):
            return None
        try:
            return _as_result(record)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def keep(self, result: ImageResult, pixels: Tensor | None) -> None:
        """Remember a result under its key.

        Args:
            result: with its key.
            pixels: (3, H, W) in [0, 1], the restored image; None where it lies somewhere anyway.

        Raises:
            OutputError: it cannot be written.
        """
        if pixels is not None:
            write_image(self._picture(result.key), pixels.clamp(0, 1), ImageMetadata())
        record = _as_record(result) | {"picture": pixels is not None}
        self.journal.append(json.dumps(record))
        self.records[result.key] = record

    def picture(self, key: str) -> Tensor:
        """Return the restored image under a hash, (3, H, W) in [0, 1].

        Raises:
            ImageError: it is gone.
        """
        return load_pixels(self._picture(key)) / 255

    def _picture(self, key: str) -> Path:
        return self.pictures / f"{key}.png"


def _as_record(result: ImageResult) -> dict[str, Any]:
    own = {"key": result.key, "seconds_per_megapixel": result.seconds_per_megapixel}
    return image_as_json(result) | own


def _as_result(record: Mapping[str, Any]) -> ImageResult:
    return ImageResult(
        name=str(record["name"]),
        before=_as_score(record["before"]),
        blind=_as_score(record["blind"]),
        named=None if record["named"] is None else _as_score(record["named"]),
        singles={name: _as_score(score) for name, score in record["singles"].items()},
        weights={name: float(weight) for name, weight in record["weights"].items()},
        seconds_per_megapixel=float(record["seconds_per_megapixel"]),
        key=str(record["key"]),
    )


def _as_score(record: Mapping[str, Any]) -> Score:
    return {name: float(value) for name, value in record.items()}
