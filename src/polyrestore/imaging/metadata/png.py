"""Chunks of PNG files: what the pixels need, what is written again, and what cannot be.

Specification: W3C Portable Network Graphics, third edition (2025), sections 5.4, 11.3 and 14.2. A chunk whose
fourth letter is small is safe to copy although the pixels change; of the others, those that are known to stay
true are kept.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from polyrestore.imaging.metadata.extras import Extras, PngChunk

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"
# A chunk that unpacks to more is not worth its memory.
_LARGEST_UNPACKED = 1 << 26
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT", b"pHYs", b"eXIf")
COLOUR_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi")
_STAYS_TRUE = (*COLOUR_CHUNKS, b"sTER", b"sCAL")
_PLACES = (b"oFFs", b"sTER", b"sCAL")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
# How ImageMagick stores EXIF; Pillow reads it, and it is written as EXIF.
_RAW_EXIF = (b"Raw profile type exif", b"Raw profile type APP1")
_SMALL_BIT_TYPES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


@dataclass(frozen=True)
class PngParts:
    """A PNG file taken apart.

    Attributes:
        essential: a PNG file of the chunks that a decoder needs for pixels, EXIF and resolution.
        icc_profile: the colour profile.
        xmp: the XMP packet.
        chunks: what is written again as it is.
        significant_bits: for red, green, blue and alpha, or for grey and alpha; empty where it is not said.
        damaged: the kinds of the chunks with a wrong checksum, or content that cannot be read.
        lost: the kinds of the chunks that the new pixels would make untrue.
    """

    essential: bytes
    icc_profile: bytes | None
    xmp: bytes | None
    chunks: tuple[PngChunk, ...]
    significant_bits: bytes
    damaged: tuple[str, ...]
    lost: tuple[str, ...]


def split_png(content: bytes) -> PngParts:
    """Take a PNG file apart; what a decoder has to complain about is left to it.

    Args:
        content: a file that begins as PNG files do.
    """
    # Views, since the pixels need not be there three times.
    view = memoryview(content)
    essential = [view[: len(SIGNATURE)]]
    kept: list[PngChunk] = []
    damaged: list[str] = []
    lost: list[str] = []
    profile = xmp = None
    bits = b""
    colour_type, behind = 0, False
    for kind, start, stop in walk_chunks(content):
        if kind == b"IHDR":
            colour_type = content[start + 9]
        behind |= kind == b"IDAT"
        whole = view[start - 8 : stop + 4]
        name = kind.decode("latin-1")
        if kind in _PIXELS[:8] or (kind[:1].isupper() and kind[:1].isalpha()):
            # A critical chunk that is damaged or unknown is the decoder's to refuse.
            essential.append(whole)
            continue
        data = content[start:stop]
        if zlib.crc32(content[start - 4 : stop]) != int.from_bytes(content[stop : stop + 4], "big"):
            damaged.append(name)
        elif kind in _PIXELS or (kind in _TEXTS and data.split(b"\x00")[0] in _RAW_EXIF):
            essential.append(whole)
        elif kind == b"iCCP":
            profile = _unpack(data.partition(b"\x00")[2][1:])
            damaged += [name] * (profile is None)
        elif kind == b"iTXt" and data.startswith(XMP_KEYWORD + b"\x00"):
            xmp = _read_international(data)
            damaged += ["XMP"] * (xmp is None)
        elif kind == b"sBIT":
            bits = data if len(data) == _SMALL_BIT_TYPES.get(colour_type) else b""
            damaged += [name] * (not bits)
        elif kind[3:].islower() or kind in _STAYS_TRUE:
            kept.append(PngChunk(kind, data, behind))
        else:
            lost.append(name)
    everything = len(essential) == 1 or sum(map(len, essential)) == len(content)
    return PngParts(
        content if everything else b"".join(essential),
        profile,
        xmp,
        tuple(kept),
        bits,
        tuple(dict.fromkeys(damaged)),
        tuple(dict.fromkeys(lost)),
    )


def drop_places(chunks: Iterable[PngChunk]) -> tuple[tuple[PngChunk, ...], tuple[str, ...]]:
    """Return the chunks that are still true of a picture that was turned, and the kinds of the others."""
    given = tuple(chunks)
    lost = dict.fromkeys(chunk.kind.decode("latin-1") for chunk in given if chunk.kind in _PLACES)
    return tuple(chunk for chunk in given if chunk.kind not in _PLACES), tuple(lost)


def small_bits(bits: bytes, *, grey: bool, alpha: bool, bit_depth: int) -> PngChunk | None:
    """Return the chunk of significant bits for the layout that is written, None where none are known.

    Args:
        bits: as in :class:`PngParts`.
        grey: True for one channel of colour, False for three.
        alpha: True when there is an alpha channel.
        bit_depth: of the samples that are written.
    """
    if not bits:
        return None
    colours = bits[:3] if len(bits) >= 3 else bits[:1]
    transparency = bits[len(colours) :] or bytes([bit_depth])
    fitted = colours[:1] if grey else (colours * 3)[:3]
    found = fitted + (transparency if alpha else b"")
    return PngChunk(b"sBIT", bytes(min(value, bit_depth) for value in found))


def embed_png(content: bytes, extras: Extras) -> bytes:
    """Return a PNG file with chunks added: colours before the pixels, texts where they were.

    Args:
        content: a PNG file of this package's making.
        extras: its ``chunks``, ``xmp`` and ``aspect`` are written.
    """
    header_end = len(SIGNATURE) + 25
    first = [encode_chunk(chunk.kind, chunk.data) for chunk in extras.chunks if not chunk.behind_pixels]
    last = [encode_chunk(chunk.kind, chunk.data) for chunk in extras.chunks if chunk.behind_pixels]
    if extras.aspect is not None:
        per_unit = [max(1, min(round(value), 2**31 - 1)) for value in extras.aspect]
        first.append(encode_chunk(b"pHYs", struct.pack(">IIB", *per_unit, 0)))
    if extras.xmp is not None:
        first.append(encode_chunk(b"iTXt", XMP_KEYWORD + bytes(5) + extras.xmp))
    if not first and not last:
        return content
    end = len(content) - 12
    return b"".join([content[:header_end], *first, content[header_end:end], *last, content[end:]])


def encode_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def walk_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each whole chunk: its kind, and where its data begin and end."""
    place = len(SIGNATURE)
    while len(content) - place >= 12:
        length, kind = struct.unpack_from(">I4s", content, place)
        stop = place + 8 + length
        if stop + 4 > len(content):
            # Pillow reads what there is of the last one.
            yield kind, place + 8, len(content)
            return
        yield kind, place + 8, stop
        if kind == b"IEND":
            return
        place = stop + 4


def _unpack(packed: bytes) -> bytes | None:
    decoder = zlib.decompressobj()
    try:
        found = decoder.decompress(packed, _LARGEST_UNPACKED)
    except zlib.error:
        return None
    return found if decoder.eof else None


def _read_international(data: bytes) -> bytes | None:
    """Return the text of an iTXt chunk."""
    flags = data.partition(b"\x00")[2]
    text = flags[2:].partition(b"\x00")[2].partition(b"\x00")[2]
    return _unpack(text) if flags[:1] == b"\x01" else text
