"""What nobody listed is kept as it is, or told; what the pixels do not need never costs the picture."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from polyrestore.imaging import ImageMetadata, encode_image, read_image, read_pillow
from polyrestore.imaging.metadata.extras import Extras, PngChunk
from polyrestore.imaging.metadata.photoshop import join_resources, split_resources

RELAXED = settings(max_examples=30, deadline=None, derandomize=True)


def pixels(seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).integers(0, 256, (3, 6, 8))
    return torch.from_numpy((values / 255).astype(np.float32))


def plain(name: str, metadata: ImageMetadata | None = None) -> bytes:
    return encode_image(name, pixels(), metadata or ImageMetadata())[0]


def chunk(kind: bytes, data: bytes, wrong: int = 0) -> bytes:
    checksum = zlib.crc32(kind + data) ^ wrong
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def with_chunks(content: bytes, before: bytes, behind: bytes = b"") -> bytes:
    """Return a PNG file with chunks before its pixels and behind them."""
    return content[:33] + before + content[33:-12] + behind + content[-12:]


def chunks_of(content: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        found.append((kind, content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def again(content: bytes, name: str) -> tuple[bytes, list[str]]:
    """Return a file read and written again, and the codes of all that was told."""
    image = read_image(content)
    encoded, notes = encode_image(name, image.pixels, image.metadata)
    return encoded, [note.code for note in (*image.notes, *notes)]


TEXTS = st.binary(max_size=60).map(lambda data: data.replace(b"\x00", b" "))


@RELAXED
@given(
    texts=st.lists(st.tuples(st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"prVt"]), TEXTS), max_size=4),
    behind=st.lists(TEXTS, max_size=2),
    gamma=st.none() | st.integers(1, 10**6),
    cicp=st.none() | st.binary(min_size=4, max_size=4),
    bit_depth=st.sampled_from([8, 16]),
)
def test_texts_and_colours_of_a_png_come_back_byte_for_byte(
    texts: list[tuple[bytes, bytes]],
    behind: list[bytes],
    gamma: int | None,
    cicp: bytes | None,
    bit_depth: int,
) -> None:
    # Some of the texts are malformed inside; nobody has to look into them.
    wanted = [(kind, b"Key\x00" + data) for kind, data in texts]
    wanted += [] if gamma is None else [(b"gAMA", struct.pack(">I", gamma))]
    wanted += [] if cicp is None else [(b"cICP", cicp)]
    last = [(b"tEXt", b"Last\x00" + data) for data in behind]
    base = plain("a.png", ImageMetadata(bit_depth=bit_depth))
    content = with_chunks(
        base, b"".join(chunk(*each) for each in wanted), b"".join(chunk(*each) for each in last)
    )
    encoded, told = again(content, "a.png")
    found = chunks_of(encoded)
    assert not told
    assert [each for each in found if each in wanted] == wanted
    kinds = [kind for kind, _ in found]
    assert [each for each in found[kinds.index(b"IDAT") :] if each in last] == last
    assert torch.equal(read_image(encoded).pixels, read_image(base).pixels)


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize(
    "bad",
    [
        chunk(b"tEXt", b"Key\x00value", wrong=1),
        chunk(b"iCCP", b"ICC\x00\x00no zlib stream"),
        chunk(b"iTXt", b"XML:com.adobe.xmp\x00\x01\x00\x00\x00no zlib stream"),
        chunk(b"pHYs", b"\x00" * 9, wrong=7),
        chunk(b"eXIf", b"MM\x00*", wrong=2),
        chunk(b"sBIT", b"\x05"),
    ],
)
def test_a_damaged_chunk_costs_itself_and_is_told(bad: bytes, bit_depth: int) -> None:
    base = plain("a.png", ImageMetadata(bit_depth=bit_depth))
    found = read_image(with_chunks(base, bad))
    assert torch.equal(found.pixels, read_image(base).pixels)
    assert [note.code for note in found.notes] == ["parts_lost"]


def test_a_text_that_unpacks_to_megabytes_is_kept_packed() -> None:
    packed = b"Key\x00\x00" + zlib.compress(b"a" * 3_000_000)
    encoded, told = again(with_chunks(plain("a.png"), chunk(b"zTXt", packed)), "a.png")
    assert (b"zTXt", packed) in chunks_of(encoded)
    assert not told


def test_a_large_profile_is_kept() -> None:
    profile = np.random.default_rng(0).bytes(2_000_000)
    content = with_chunks(plain("a.png"), chunk(b"iCCP", b"ICC\x00\x00" + zlib.compress(profile)))
    assert read_image(content).metadata.icc_profile == profile


@pytest.mark.parametrize("kind", [b"tIME", b"hIST", b"abCD"])
def test_a_chunk_that_new_pixels_make_untrue_is_told(kind: bytes) -> None:
    encoded, told = again(with_chunks(plain("a.png"), chunk(kind, b"\x07\xe8\x01\x01\x00\x00\x00")), "a.png")
    assert kind not in dict(chunks_of(encoded))
    assert told == ["parts_lost"]


@pytest.mark.parametrize(
    ("mode", "bits", "expected"),
    [
        ("RGB", b"\x05\x06\x05", b"\x05\x06\x05"),
        ("L", b"\x04", b"\x04"),
        ("P", b"\x03\x03\x02", b"\x03\x03\x02"),
    ],
)
def test_significant_bits_follow_the_layout(mode: str, bits: bytes, expected: bytes) -> None:
    buffer = io.BytesIO()
    PILImage.new("RGB", (4, 3), "red").convert(mode).save(buffer, "PNG")
    encoded, _ = again(with_chunks(buffer.getvalue(), chunk(b"sBIT", bits)), "a.png")
    assert dict(chunks_of(encoded))[b"sBIT"] == expected


IPTC = b"\x1c\x02\x78\x00\x07caption\x1c\x02\x19\x00\x03key"
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
).encode()


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


@RELAXED
@given(
    comments=st.lists(st.binary(max_size=40), max_size=3),
    resources=st.lists(
        st.tuples(st.integers(0x03E8, 0x03FF), st.binary(max_size=9), st.binary(max_size=50)), max_size=3
    ),
    xmp=st.booleans(),
    iptc=st.booleans(),
)
def test_segments_of_a_jpeg_come_back(
    comments: list[bytes], resources: list[tuple[int, bytes, bytes]], xmp: bool, iptc: bool
) -> None:
    block = join_resources([*resources, *([(0x0404, b"", IPTC)] if iptc else [])])
    base = plain("a.jpg")
    added = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + XMP) if xmp else b""
    added += segment(0xED, b"Photoshop 3.0\x00" + block) if block else b""
    added += b"".join(segment(0xFE, comment) for comment in comments)
    encoded, told = again(base[:20] + added + base[20:], "a.jpg")
    assert not told
    found = read_image(encoded).metadata.extras
    assert found.comments == tuple(comments)
    assert found.iptc == (IPTC if iptc else None)
    assert found.xmp == (XMP if xmp else None)
    assert found.photoshop == tuple(resources)


def test_image_resources_are_taken_apart_and_joined_exactly() -> None:
    resources = [(0x0404, b"", IPTC), (0x03ED, b"odd", b"x" * 15), (0x0BB0, b"even", b"")]
    assert split_resources(join_resources(resources)) == resources


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
@pytest.mark.parametrize("source", ["a.jpg", "a.tif"])
def test_iptc_and_xmp_go_from_jpeg_to_tiff_and_back(source: str, name: str) -> None:
    extras = Extras(xmp=XMP, iptc=IPTC, photoshop=((0x03F3, b"", b"\x00" * 9),))
    first = read_image(plain(source, replace(ImageMetadata(), extras=extras)))
    encoded, notes = encode_image(name, first.pixels, first.metadata)
    found = read_image(encoded).metadata.extras
    assert (found.xmp, found.iptc, found.photoshop) == (XMP, IPTC, extras.photoshop)
    assert not notes


def test_what_another_format_cannot_hold_is_told_once() -> None:
    extras = Extras(
        xmp=XMP,
        iptc=IPTC,
        comments=(b"a",),
        chunks=(PngChunk(b"gAMA", b"\x00\x01\x86\xa0"),),
        aspect=(2.0, 1.0),
    )
    metadata = replace(ImageMetadata(), extras=extras)
    _, notes = encode_image("a.webp", pixels(), metadata)
    assert [note.code for note in notes] == ["colour_meaning_lost", "comments_lost"]
    assert "IPTC" in notes[1]
    assert "XMP" not in notes[1]


def test_what_pillow_does_not_hand_over_of_an_opened_png_is_told() -> None:
    content = with_chunks(
        plain("a.png"), chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"tEXt", b"Key\x00value")
    )
    with PILImage.open(io.BytesIO(content)) as opened:
        notes = read_pillow(opened).notes
    assert [note.code for note in notes] == ["parts_lost"]
    assert "texts" in notes[0]
    assert "colours" in notes[0]
