"""Files of the ISO base media format, in which AVIF and HEIF come: told apart by their brands."""

from __future__ import annotations

import struct

AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"})
# The general brands, which say nothing about how the pictures are coded.
_GENERAL = frozenset({b"mif1", b"mif2", b"msf1"})


def brands(start: bytes) -> list[bytes]:
    """Return the major brand and the compatible ones, as far as they are there; none for another file."""
    if len(start) < 12 or start[4:8] != b"ftyp":
        return []
    (length,) = struct.unpack(">I", start[:4])
    compatible = start[16 : min(length, len(start))]
    return [start[8:12], *(compatible[at : at + 4] for at in range(0, len(compatible) - 3, 4))]


def is_coded_as(start: bytes, wanted: frozenset[bytes], others: frozenset[bytes]) -> bool:
    """Return whether a file's first bytes name one of the ``wanted`` brands before one of the ``others``.

    Args:
        start: the first bytes of a file, 64 at least.
        wanted: brands of one coding.
        others: brands of another one.
    """
    found = brands(start)
    if not found or found[0] not in wanted | others | _GENERAL:
        return False
    first = next((brand for brand in found if brand in wanted | others), None)
    return first in wanted
