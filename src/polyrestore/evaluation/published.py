"""Published figures to stand beside one's own, on official test sets that are recognised by their pixels."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from polyrestore.data.samples import PixelCache
from polyrestore.evaluation.sets import EvaluationSet

_FILE = Path(__file__).with_name("published.toml")


class PublishedFigure(BaseModel):
    """What somebody has published about a test set.

    Attributes:
        method: what restored the images.
        sigma_255: of the noise that is added to the photographs first; None where the set is pairs.
        protocol: by which the figure was computed, one of
            :data:`~polyrestore.evaluation.protocols.PROTOCOLS`.
        psnr: the mean over images, in dB.
        source: where it stands.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    sigma_255: float | None = None
    protocol: str
    psnr: float
    source: str


class OfficialSet(BaseModel):
    """A test set as its authors gave it away.

    Attributes:
        name: as papers call it.
        images: how many there are.
        pixels_sha256: of all pixels, by :func:`hash_pixels`.
        figures: what was published.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    images: int = Field(gt=0)
    pixels_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    figures: tuple[PublishedFigure, ...]


@cache
def official_sets() -> tuple[OfficialSet, ...]:
    """Return the sets that can be recognised, with what was published about them."""
    records = tomllib.loads(_FILE.read_text(encoding="utf-8"))["sets"]
    return tuple(OfficialSet.model_validate(record) for record in records)


def published_figures(
    evaluation_set: EvaluationSet, protocol: str, known: Sequence[OfficialSet] | None = None
) -> tuple[PublishedFigure, ...]:
    """Return what was published about a set by a protocol; nothing where it is not surely an official one.

    Args:
        evaluation_set: what is measured, as a whole.
        protocol: the name of the one that it is measured by.
        known: sets to look among; :func:`official_sets` when None.

    Raises:
        ImageError: an image of a set that has as many as an official one cannot be read.
    """
    candidates = [
        each
        for each in (official_sets() if known is None else known)
        if each.images == len(evaluation_set.samples) and not evaluation_set.aligned
    ]
    wanted = [
        (each, figure)
        for each in candidates
        for figure in each.figures
        if figure.protocol == protocol and figure.sigma_255 == evaluation_set.sigma_255
    ]
    if not wanted:
        return ()
    found = hash_pixels(evaluation_set)
    return tuple(figure for each, figure in wanted if each.pixels_sha256 == found)


def hash_pixels(evaluation_set: EvaluationSet) -> str:
    """Return the SHA-256 of the pixels of a set, whatever its files are called and in whichever order.

    It is that of the sorted hashes of its samples, and a sample's is that of sizes and 8-bit pixels, row by
    row, of its input where it has one, and of its target.

    Raises:
        ImageError: an image cannot be read.
    """
    hashes = []
    reading = PixelCache(0)
    for sample in evaluation_set.samples:
        digest = hashlib.sha256()
        for pixels in reading.read_sample(sample):
            digest.update("{}x{} ".format(*pixels.shape[-2:]).encode())
            digest.update(pixels.permute(1, 2, 0).contiguous().numpy().tobytes())
        hashes.append(digest.hexdigest())
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()
