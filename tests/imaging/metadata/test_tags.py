"""Tags of TIFF files as other programs write them: IPTC as long numbers, and texts beyond ASCII."""

from __future__ import annotations

import io

import numpy as np
import pytest

from polyrestore.imaging import encode_image, read_image
from polyrestore.imaging.metadata.tags import read_block, upright_iptc

IPTC = b"\x1c\x02\x78\x00\x07caption\x1c\x02\x19\x00\x03key"


def tiff(order: str, big: bool, *tags: tuple[int, int, int, object, bool]) -> bytes:
    import tifffile

    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder=order, bigtiff=big) as file:  # type: ignore[arg-type]
        for page in range(2):
            levels = np.zeros((4 + page, 6, 3), np.uint8)
            file.write(levels, photometric="rgb", metadata=None, extratags=list(tags) if page else [])
    return buffer.getvalue()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
def test_iptc_that_is_declared_as_long_numbers_is_whole(order: str, big: bool, swapped: bool) -> None:
    padded = IPTC + bytes(-len(IPTC) % 4)
    stored = ">" if swapped else "<"
    numbers = tuple(int(value) for value in np.frombuffer(padded, stored + "u4"))
    content = tiff(order, big, (33723, 4, len(numbers), numbers, True))
    block = read_block(content, 1, 33723)
    assert block is not None
    assert upright_iptc(block) == IPTC
    assert read_block(content, 0, 33723) is None


def test_texts_keep_their_bytes() -> None:
    import tifffile

    buffer = io.BytesIO()
    caption = "Großmutter am See".encode()
    with tifffile.TiffWriter(buffer) as file:
        tags = [(270, 2, len(caption) + 1, caption + b"\x00", True), (269, 2, 4, b"\xc3\xa9\xc3\x00", True)]
        file.write(np.zeros((4, 6, 3), np.uint8), photometric="rgb", metadata=None, extratags=tags)
    found = read_image(buffer.getvalue())
    content, notes = encode_image("a.tif", found.pixels, found.metadata)
    assert caption in content
    assert b"\xc3\xa9\xc3\x00" in content
    assert not notes


@pytest.mark.parametrize(
    "content", [b"", b"II*\x00", b"II*\x00\x08\x00\x00\x00\xff\xff", b"MM\x00*\xff\xff\xff\xff"]
)
def test_a_broken_directory_holds_nothing(content: bytes) -> None:
    assert read_block(content, 0, 33723) is None
