"""What describes pixels is true of the new ones: EXIF places and sizes, XMP about parts of the old file."""

from __future__ import annotations

import hashlib
import struct
from xml.dom import minidom

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from polyrestore.imaging import ImageMetadata, encode_image, read_image
from polyrestore.imaging.exif import turn_upright
from polyrestore.imaging.metadata.exif_pixels import correct_sizes, renew_thumbnail
from polyrestore.imaging.metadata.jpeg import describe_trailer, split_jpeg
from polyrestore.imaging.metadata.xmp import correct_xmp

RELAXED = settings(max_examples=60, deadline=None, derandomize=True)


def exif_with(entries: dict[int, object], big_endian: bool = False) -> bytes:
    tags = PILImage.Exif()
    tags.endian = ">" if big_endian else "<"
    tags[0x8769] = entries
    return tags.tobytes().removeprefix(b"Exif\x00\x00")


def read_tags(block: bytes) -> dict[int, object]:
    tags = PILImage.Exif()
    tags.load(b"Exif\x00\x00" + block)
    return dict(tags.get_ifd(0x8769))


@RELAXED
@given(
    width=st.integers(4, 40),
    height=st.integers(4, 40),
    orientation=st.integers(1, 8),
    place=st.tuples(st.integers(0, 39), st.integers(0, 39)),
    big_endian=st.booleans(),
)
def test_the_subject_turns_with_the_picture(
    width: int, height: int, orientation: int, place: tuple[int, int], big_endian: bool
) -> None:
    column, row = place[0] % width, place[1] % height
    stored = np.zeros((height, width), np.uint8)
    stored[row, column] = 1
    upright = turn_upright(stored, orientation)
    entries = {0x9214: (column, row, 2, 3), 0xA214: (column, row), 0xA002: width, 0xA003: height}
    block = exif_with(entries, big_endian)
    found = read_tags(correct_sizes(block, upright.shape[1], upright.shape[0], orientation))
    (expected_row,), (expected_column,) = np.nonzero(upright)
    turned = orientation >= 5
    assert found[0x9214] == (expected_column, expected_row, *((3, 2) if turned else (2, 3)))
    assert found[0xA214] == (expected_column, expected_row)
    assert (found[0xA002], found[0xA003]) == upright.shape[::-1]


@RELAXED
@given(block=st.binary(max_size=80).map(lambda rest: b"II*\x00" + rest), orientation=st.integers(1, 8))
def test_no_block_breaks_what_sets_it_right(block: bytes, orientation: int) -> None:
    assert len(correct_sizes(block, 7, 5, orientation)) == len(block)
    renewed, _ = renew_thumbnail(block, lambda room: b"\xff\xd8"[:room])
    assert len(renewed) == len(block)


NAMES = (
    'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" '
    'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    'xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/" '
    'xmlns:Device="http://ns.google.com/photos/dd/1.0/device/" '
    'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" '
    'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" '
    'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/"'
)
TITLE = '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">A &amp; B &lt;é&gt;</rdf:li></rdf:Alt></dc:title>'
UNTRUE = {
    'GCamera:MicroVideoOffset="4000"': "video",
    'GCamera:MotionPhoto="1"': "video",
    'hdrgm:Version="1.0"': "gain map",
    'GDepth:Near="0.2"': "depth map",
    'Device:Cameras="x"': "depth maps",
    "<Container:Directory><rdf:Seq><rdf:li>parts</rdf:li></rdf:Seq></Container:Directory>": "behind",
    "<GDepth:Data>AAAA</GDepth:Data>": "depth map",
    "<xmp:Thumbnails>old</xmp:Thumbnails>": "thumbnail",
}


def packet(attributes: str, elements: str) -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {NAMES} {attributes}>{elements}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


@RELAXED
@given(untrue=st.lists(st.sampled_from(sorted(UNTRUE)), unique=True), rating=st.integers(0, 5))
def test_what_describes_parts_of_the_old_file_goes_and_the_rest_stays(untrue: list[str], rating: int) -> None:
    attributes = " ".join(each for each in untrue if not each.startswith("<"))
    elements = TITLE + "".join(each for each in untrue if each.startswith("<"))
    found = correct_xmp(packet(f'xmp:Rating="{rating}" {attributes}', elements), 7, 5, turned=False)
    assert found.packet is not None
    for each in untrue:
        assert each.encode() not in found.packet
        assert any(UNTRUE[each] in what for what in found.lost)
    assert f'xmp:Rating="{rating}"'.encode() in found.packet
    title = minidom.parseString(found.packet).getElementsByTagName("rdf:li")[0].firstChild
    assert title is not None
    assert title.nodeValue == "A & B <é>"
    assert found.packet.startswith('<?xpacket begin="\ufeff"'.encode())
    assert bool(found.lost) == bool(untrue)


def test_a_packet_without_untruths_stays_byte_for_byte() -> None:
    given_ = packet('xmp:Rating="4"', TITLE) + b"  \n" * 500
    assert correct_xmp(given_, 7, 5, turned=True).packet == given_


@pytest.mark.parametrize(
    "bad", [b"<x Orientation", b'<!DOCTYPE x [<!ENTITY a "Orientation">]><x>&a;</x>', b"\xff\xfeOrientation"]
)
def test_xmp_that_cannot_be_judged_is_told(bad: bytes) -> None:
    found = correct_xmp(bad, 7, 5, turned=False)
    assert found.packet is None
    assert found.lost


def test_a_packet_that_would_fill_the_memory_is_not_taken_apart() -> None:
    large = packet(
        'GCamera:MotionPhoto="1"', TITLE + "<dc:subject>" + "<rdf:li/>" * 1_000_000 + "</dc:subject>"
    )
    assert correct_xmp(large, 7, 5, turned=False).packet is None


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def plain_jpeg() -> bytes:
    return encode_image("a.jpg", torch.rand(3, 8, 9), ImageMetadata())[0]


@pytest.mark.parametrize("true", [False, True])
def test_the_second_part_of_xmp_is_kept_where_it_is_true(true: bool) -> None:
    extension = (
        b"<history>" if true else b'<x xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/">'
    ) * 9000
    identity = hashlib.md5(extension).hexdigest().upper()
    main = packet(f'xmpNote:HasExtendedXMP="{identity}"', TITLE)
    parts = [
        segment(
            0xE1,
            b"http://ns.adobe.com/xmp/extension/\x00"
            + identity.encode()
            + struct.pack(">II", len(extension), start)
            + extension[start : start + 60000],
        )
        for start in range(0, len(extension), 60000)
    ]
    base = plain_jpeg()
    first = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + main)
    image = read_image(base[:20] + first + b"".join(reversed(parts)) + base[20:])
    made, _ = encode_image("a.jpg", image.pixels, image.metadata)
    again = split_jpeg(made)
    assert again.xmp_extension == (extension if true else None)
    assert again.xmp is not None
    assert (identity.encode() in again.xmp) == true
    assert bool(image.notes) != true


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        (b"", None),
        (bytes(40), None),
        (b"\r\n", None),
        (b"\x00\x00\x00\x18ftypisom" + bytes(20), "a video"),
        (b"some words", "data of an unknown kind"),
    ],
)
def test_what_lies_behind_a_picture_is_named(behind: bytes, words: str | None) -> None:
    content = plain_jpeg()
    found = describe_trailer(content + behind, len(content))
    assert found is None if words is None else found is not None and found.startswith(words)
    assert split_jpeg(content + behind).behind == found


def test_pictures_behind_a_picture_are_counted() -> None:
    content = plain_jpeg()
    found = split_jpeg(content + plain_jpeg() + plain_jpeg()).behind
    assert found is not None
    assert found.startswith("2 further pictures")


@RELAXED
@given(cut=st.integers(0, 2000), seed=st.integers(0, 9))
def test_no_damaged_jpeg_breaks_what_takes_it_apart(cut: int, seed: int) -> None:
    content = bytearray(plain_jpeg() + plain_jpeg())
    random = np.random.default_rng(seed)
    for place in random.integers(2, len(content), 6):
        content[place] = int(random.integers(0, 256))
    split_jpeg(bytes(content[: max(4, len(content) - cut)]))
