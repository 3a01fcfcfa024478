"""What restoring one image gives: its pixels, and how they came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from polyrestore.imaging import ImageMetadata, Quality, write_image
from polyrestore.notes import Note
from polyrestore.recognition import Recognition


@dataclass(frozen=True, eq=False)
class Restored:
    """A restored image, and how it came about.

    Attributes:
        pixels: (3, H, W) RGB, on the CPU, as large as the input: float32 in [0, 1], or uint8 or uint16 where
            these were asked for.
        weights: the composition that acted; empty when the image was left as it was, or has been through the
            bare backbone.
        recognition: what the recogniser saw; None when the composition was named.
        seconds: wall time from pixels to pixels.
        metadata: what the input file came with; the defaults for an input that was not a file.
        notes: what of the input file could not be read as it was.
        bare: True when the backbone ran without adapters, because its bundle has none.
    """

    pixels: Tensor
    weights: dict[str, float]
    recognition: Recognition | None
    seconds: float
    metadata: ImageMetadata = field(default_factory=ImageMetadata, repr=False)
    notes: tuple[Note, ...] = ()
    bare: bool = False

    @property
    def unchanged(self) -> bool:
        """True when no network ran and the pixels are those of the input."""
        return not self.weights and not self.bare

    def save(self, path: str | Path, *, quality: Quality = None) -> tuple[Note, ...]:
        """Write the image with the input's metadata, whole or not at all.

        Args:
            path: the file; its ending names the format.
            quality: of lossy formats: from 1 to 100, ``"keep"`` for how the input was compressed if it is of
                the same format, or None for what neither damages the picture again nor wastes space.

        Returns:
            one sentence for each thing that the file format could not keep.

        Raises:
            OutputError: the file cannot be written, or its ending is not that of a supported format.
        """
        return write_image(Path(path), self.pixels, self.metadata, quality=quality)
