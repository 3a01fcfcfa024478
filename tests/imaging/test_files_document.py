"""What docs/files.md says of formats and of what files hold is what the program does."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from PIL import ImageCms

from polyrestore.imaging import (
    FORMATS,
    Frame,
    Image,
    ImageMetadata,
    encode_image,
    encode_pages,
    holds_pages,
    open_pages,
    read_image,
)
from polyrestore.imaging.metadata.extras import Extras
from polyrestore.imaging.metadata.photoshop import join_resources
from polyrestore.notes import Note

DOCUMENT = Path(__file__).parents[2] / "docs" / "files.md"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
IPTC = b"\x1c\x02\x78\x00\x07caption"
HEIGHT, WIDTH = 24, 32


def xmp(body: str, names: str = "") -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {names}>{body}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


XMP = xmp("<xmp:Rating>4</xmp:Rating>", 'xmlns:xmp="http://ns.adobe.com/xap/1.0/"')


def exif(orientation: int = 1) -> bytes:
    tags = PILImage.Exif()
    tags[0x010F], tags[0x0112] = "Maker", orientation
    tags[0x8769] = {0x9214: (3, 5, 4, 2), 0x927C: b"maker note", 0xA002: WIDTH, 0xA003: HEIGHT}
    return tags.tobytes().removeprefix(b"Exif\x00\x00")


def pixels(seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).integers(0, 256, (3, HEIGHT, WIDTH))
    return torch.from_numpy((values / 255).astype(np.float32))


def table(first: str) -> list[dict[str, str]]:
    """Return the rows of the table whose first heading is ``first``."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    start = next(number for number, row in enumerate(rows) if row[0] == first)
    body = []
    for row in rows[start + 2 :]:
        if len(row) != len(rows[start]):
            break
        body.append(dict(zip(rows[start], row, strict=True)))
    return body


FULL = Extras(xmp=XMP, iptc=IPTC, comments=(b"a comment",))
BY_FORMAT = {row["format"]: row for row in table("format")}
LOSSES = {
    "grey": "grey_to_rgb",
    "alpha": "alpha_lost",
    "profile": "profile_lost",
    "EXIF": "exif_lost",
    "XMP": "comments_lost",
    "IPTC": "comments_lost",
    "comment": "comments_lost",
    "resolution": "resolution_lost",
}


def require(name: str) -> None:
    if name == "HEIF":
        pytest.importorskip("pillow_heif")


def test_every_format_that_can_be_written_has_its_row() -> None:
    assert set(BY_FORMAT) == {name for name, found in FORMATS.items() if found.encode}


@pytest.mark.parametrize("name", BY_FORMAT)
def test_a_row_says_how_many_bits_and_pictures_a_format_holds(name: str) -> None:
    row, found = BY_FORMAT[name], FORMATS[name]
    assert row["bits"] == ", ".join(map(str, found.bit_depths))
    held = holds_pages(f"a{found.suffixes[0]}", ImageMetadata(format=name))
    assert (row["several pictures"] != "the first") == held
    if row["several pictures"] == "frames":
        frames = [Image(pixels(seed), ImageMetadata(frame=Frame(40.0, 2))) for seed in range(3)]
    else:
        frames = [Image(pixels(seed), ImageMetadata()) for seed in range(3)]
    if held:
        with open_pages(encode_pages(f"a{found.suffixes[0]}", frames)[0]) as pages:
            assert len(pages) == 3


@pytest.mark.parametrize(
    ("name", "grey", "alpha", "bit_depth", "full"),
    [
        pytest.param(*case, id="-".join(map(str, case)))
        for case in product(BY_FORMAT, (False, True), (False, True), (8, 16), (False, True))
    ],
)
def test_what_a_file_holds_comes_back_or_is_told(
    name: str, grey: bool, alpha: bool, bit_depth: int, full: bool
) -> None:
    require(name)
    row = BY_FORMAT[name]
    metadata = ImageMetadata(
        format=name,
        bit_depth=bit_depth,
        grey=grey,
        alpha=(pixels(1)[:1] > 0.5).float() if alpha else None,
        icc_profile=PROFILE if full and not grey else None,
        exif=exif() if full else None,
        dpi=(300.0, 300.0) if full else None,
        extras=FULL if full else Extras(),
    )
    content, notes = encode_image(f"a{FORMATS[name].suffixes[0]}", pixels(), metadata)
    found = read_image(content).metadata
    texts = [chunk.data for chunk in found.extras.chunks]
    kept = {
        "grey": found.grey == grey,
        "alpha": (found.alpha is not None) == alpha,
        "profile": found.icc_profile == metadata.icc_profile,
        "EXIF": (found.exif is not None) == full,
        "XMP": found.extras.xmp == metadata.extras.xmp,
        "IPTC": found.extras.iptc == metadata.extras.iptc,
        "comment": found.extras.comments == metadata.extras.comments
        or (row["comment"] == "as a text" and texts == [b"Comment" + bytes(5) + b"a comment"]),
        "resolution": found.dpi == (None if metadata.dpi is None else pytest.approx(metadata.dpi, abs=0.1)),
    }
    codes = {note.code for note in notes}
    there = {"grey": grey, "alpha": alpha, "profile": full and not grey}
    # A GIF file with a transparent entry has a palette, which may hold colours as well.
    with_alpha = grey and alpha and (name == "GIF" or found.bit_depth not in FORMATS[name].grey_with_alpha)
    for what, is_kept in kept.items():
        if row[what] == "told" and there.get(what, full):
            assert LOSSES[what] in codes
        elif row[what] != "told" and not (what == "grey" and with_alpha):
            assert is_kept, what
    assert found.bit_depth == bit_depth or "bits_reduced" in codes
    if not full:
        assert codes <= {"grey_to_rgb", "alpha_lost", "bits_reduced", "colours_reduced"}


@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF"])
def test_a_resolution_without_a_unit_is_kept(name: str) -> None:
    metadata = replace(ImageMetadata(), extras=Extras(aspect=(2.0, 1.0)))
    content, notes = encode_image(f"a{FORMATS[name].suffixes[0]}", pixels(), metadata)
    found = read_image(content).metadata
    assert found.extras.aspect == (2.0, 1.0)
    assert found.dpi is None
    assert not notes


# What is found, put into a file: its bytes, and what proves that it is in the result.
Found = tuple[bytes, Callable[[bytes], bool]]


def written(suffix: str, metadata: ImageMetadata | None = None) -> bytes:
    return encode_image(f"a{suffix}", pixels(), metadata or ImageMetadata())[0]


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(*segments: bytes, behind: bytes = b"", metadata: ImageMetadata | None = None) -> bytes:
    content = written(".jpg", metadata)
    return content[:20] + b"".join(segments) + content[20:] + behind


def png(*chunks: tuple[bytes, bytes], wrong: int = 0) -> bytes:
    import zlib

    content = written(".png")
    added = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ wrong)
        for kind, data in chunks
    ]
    return content[:33] + b"".join(added) + content[33:]


def tiff(kind: int = 0, **options: object) -> bytes:
    import tifffile

    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for subfile in (0, kind)[: 2 if kind else 1]:
            levels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            file.write(levels, photometric="rgb", subfiletype=subfile, metadata=None, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def webp(kind: bytes, data: bytes) -> bytes:
    content = written(".webp", ImageMetadata(exif=exif()))
    body = content[8:] + kind + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def xmp_segment(packet: bytes) -> bytes:
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + packet)


def tags_of(content: bytes) -> PILImage.Exif:
    with PILImage.open(io.BytesIO(content)) as opened:
        return opened.getexif()


def with_thumbnail() -> bytes:
    """Return an EXIF block with a thumbnail in a second directory."""
    block = bytearray(exif())
    order = "<" if block[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, start)
    buffer = io.BytesIO()
    levels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    PILImage.fromarray(levels).save(buffer, "JPEG", comment=b"old picture")
    directory = len(block)
    struct.pack_into(order + "I", block, start + 2 + 12 * count, directory)
    place = directory + 2 + 24 + 4
    block += struct.pack(order + "HHHIIHHIII", 2, 0x201, 4, 1, place, 0x202, 4, 1, len(buffer.getvalue()), 0)
    return bytes(block) + buffer.getvalue()


TURNED = ImageMetadata(exif=exif(6))
PLACES = 'xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"'
SIZES = 'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
SIZE_BODY = "<tiff:ImageWidth>7</tiff:ImageWidth><exif:PixelYDimension>9</exif:PixelYDimension>"
CAMERA = 'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'
CASES: dict[str, Callable[[], Found]] = {
    "EXIF orientation": lambda: (jpeg(metadata=TURNED), lambda made: tags_of(made)[0x0112] == 1),
    "EXIF pixel dimensions": lambda: (
        jpeg(metadata=TURNED),
        lambda made: [tags_of(made).get_ifd(0x8769)[tag] for tag in (0xA002, 0xA003)] == [HEIGHT, WIDTH],
    ),
    "EXIF subject area": lambda: (
        jpeg(metadata=TURNED),
        lambda made: tags_of(made).get_ifd(0x8769)[0x9214] == (HEIGHT - 1 - 5, 3, 2, 4),
    ),
    "EXIF thumbnail": lambda: (
        with_old_thumbnail(),
        lambda made: b"old picture" not in made and made.count(b"\xff\xd8\xff\xe0") == 2,
    ),
    "EXIF maker notes": lambda: (
        jpeg(metadata=ImageMetadata(exif=exif())),
        lambda made: b"maker note" in made,
    ),
    "XMP orientation and sizes": lambda: (
        jpeg(xmp_segment(xmp(SIZE_BODY, SIZES)), metadata=TURNED),
        lambda made: (
            f"ImageWidth>{HEIGHT}<".encode() in made and f"PixelYDimension>{WIDTH}<".encode() in made
        ),
    ),
    "XMP thumbnail": lambda: (
        jpeg(
            xmp_segment(
                xmp("<xmp:Thumbnails>old</xmp:Thumbnails>", 'xmlns:xmp="http://ns.adobe.com/xap/1.0/"')
            )
        ),
        lambda made: b"Thumbnails" in made,
    ),
    "XMP regions, as of faces, in a picture that is turned": lambda: (
        jpeg(xmp_segment(xmp("<mwg-rs:Regions>faces</mwg-rs:Regions>", PLACES)), metadata=TURNED),
        lambda made: b"faces" in made,
    ),
    "IPTC captions, keywords and rights": lambda: (
        jpeg(segment(0xED, b"Photoshop 3.0\x00" + join_resources([(0x0404, b"", IPTC)]))),
        lambda made: IPTC in made,
    ),
    "Photoshop image resources": lambda: (
        jpeg(segment(0xED, b"Photoshop 3.0\x00" + join_resources([(0x040A, b"", b"\x01")]))),
        lambda made: join_resources([(0x040A, b"", b"\x01")]) in made,
    ),
    "Photoshop thumbnail": lambda: (
        jpeg(segment(0xED, b"Photoshop 3.0\x00" + join_resources([(0x040C, b"", b"old picture")]))),
        lambda made: b"old picture" in made,
    ),
    "JPEG comments": lambda: (
        jpeg(segment(0xFE, b"a"), segment(0xFE, b"b")),
        lambda made: segment(0xFE, b"b") in made,
    ),
    "JPEG segments of unknown kinds": lambda: (
        jpeg(segment(0xE9, b"Mystery")),
        lambda made: b"Mystery" in made,
    ),
    "pictures behind a JPEG (MPF, gain maps, depth maps)": lambda: (
        jpeg(segment(0xE2, b"MPF\x00II*\x00"), behind=written(".jpg")),
        lambda made: made.count(b"\xff\xd9") > 1,
    ),
    "a video behind a JPEG (Motion Photo)": lambda: (
        jpeg(
            xmp_segment(xmp("<GCamera:MicroVideoOffset>40</GCamera:MicroVideoOffset>", CAMERA)),
            behind=b"\x00\x00\x00\x18ftypmp42" + bytes(28),
        ),
        lambda made: b"ftyp" in made or b"MicroVideoOffset" in made,
    ),
    "PNG texts of any size": lambda: (
        png((b"tEXt", b"Key\x00" + b"long " * 400_000)),
        lambda made: b"long " * 400_000 in made,
    ),
    "PNG gAMA, cHRM, sRGB, cICP, mDCV and cLLI": lambda: (
        png(
            (b"gAMA", b"\x00\x01\x86\xa0"),
            (b"cHRM", bytes(32)),
            (b"cICP", b"\x0c\x0d\x00\x01"),
            (b"mDCV", bytes(24)),
        ),
        lambda made: all(
            kind in made for kind in (b"gAMA\x00\x01\x86\xa0", b"cHRM", b"cICP\x0c\x0d\x00\x01", b"mDCV")
        ),
    ),
    "PNG sBIT": lambda: (png((b"sBIT", b"\x05\x06\x05")), lambda made: b"sBIT\x05\x06\x05" in made),
    "PNG chunks that are safe to copy": lambda: (
        png((b"prVt", b"private")),
        lambda made: b"prVtprivate" in made,
    ),
    "PNG chunks that depend on the pixels, such as tIME": lambda: (
        png((b"tIME", b"\x07\xe8\x01\x01\x00\x00\x00")),
        lambda made: b"tIME" in made,
    ),
    "PNG text with a wrong checksum": lambda: (
        png((b"tEXt", b"Key\x00old"), wrong=1),
        lambda made: b"old" in made,
    ),
    "TIFF tags that say nothing about storage": lambda: (
        tiff(extratags=[(269, 2, 4, "Roll", True), (65000, 4, 2, (7, 8), True)]),
        lambda made: b"Roll" in made and struct.pack("<HHI", 65000, 4, 2) in made,
    ),
    "TIFF reduced copies and masks of a page": lambda: (
        tiff(kind=1),
        lambda made: made.count(b"\x00\x01\x03") > 1000,
    ),
    "WebP chunks of unknown kinds": lambda: (webp(b"MYST", b"mystery!"), lambda made: b"mystery!" in made),
}


def with_old_thumbnail() -> bytes:
    content = written(".jpg")
    return content[:20] + segment(0xE1, b"Exif\x00\x00" + with_thumbnail()) + content[20:]


def test_every_row_has_its_case() -> None:
    assert [row["found in a file"] for row in table("found in a file")] == list(CASES)


@pytest.mark.parametrize("row", table("found in a file"), ids=lambda row: row["found in a file"])
def test_what_is_found_is_kept_or_set_right_or_told(row: dict[str, str]) -> None:
    content, is_there = CASES[row["found in a file"]]()
    image = read_image(content)
    suffix = FORMATS[image.metadata.format].suffixes[0]
    made, lost = encode_image(f"a{suffix}", image.pixels, image.metadata)
    notes: list[Note] = [*image.notes, *lost]
    told = row["what becomes of it"].startswith("told")
    assert is_there(made) != told
    assert bool(notes) == told, notes
