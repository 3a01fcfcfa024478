"""Camera raw: told from TIFF by what is in it, developed upright with 16 bits, written as TIFF."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from polyrestore.bulk.files import named_for_content
from polyrestore.cli.main import run
from polyrestore.errors import ImageError, MissingExtraError, OutputError
from polyrestore.imaging import ImageMetadata, encode_image, read_image, sniff_format, write_image
from polyrestore.restoration.inputs import as_image


def negative(width: int = 64, height: int = 48, orientation: int = 1, seed: int = 0) -> bytes:
    """Return a DNG file: a ramp to the right under an RGGB filter, red on its left half."""
    tifffile = pytest.importorskip("tifffile")
    levels = np.linspace(2000, 40000, width)[None, :].repeat(height, axis=0)
    levels[1::2, 1::2] *= np.where(np.arange(width // 2) < width // 4, 0.2, 1.0)[None]
    tags: list[Any] = [
        (50706, "B", 4, (1, 4, 0, 0), True),
        (50708, "s", 0, "Generated", True),
        (271, "s", 0, "A camera", True),
        (272, "s", 0, "A model", True),
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, (0, 1, 1, 2), True),
        (50714, "H", 1, 0, True),
        (50717, "H", 1, 65535, True),
        (50721, "2i", 9, (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1), True),
        (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True),
        (274, "H", 1, orientation, True),
    ]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(levels.astype(np.uint16), photometric="cfa", extratags=tags, metadata=None)
    return buffer.getvalue()


def test_a_negative_is_developed_and_written_as_tiff(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    path = tmp_path / "a.dng"
    path.write_bytes(negative())
    found = read_image(path)
    assert (found.metadata.format, found.metadata.mode, found.metadata.bit_depth) == ("RAW", "RGB16", 16)
    assert found.pixels.shape == (3, 48, 64)
    brightness = found.pixels.mean(dim=(0, 1))
    assert brightness[56:].mean() > brightness[:8].mean() + 0.2
    assert [note.code for note in found.notes] == ["raw_developed"]
    # Levels that 8 bits do not have.
    assert not torch.equal((found.pixels * 255).round() / 255, found.pixels)
    content, _ = encode_image(tmp_path / "a.tif", found.pixels, found.metadata)
    again = read_image(content)
    assert torch.equal(again.pixels, found.pixels)
    assert again.metadata.exif is not None
    tags = PILImage.Exif()
    tags.load(b"Exif\0\0" + again.metadata.exif)
    assert (tags[0x010F], tags[0x0110]) == ("A camera", "A model")


def test_every_way_in_gives_the_same_pixels(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    (tmp_path / "a.dng").write_bytes(negative())
    expected = as_image(tmp_path / "a.dng")
    levels = (expected.pixels * 65535).round().permute(1, 2, 0).numpy().astype(np.uint16)
    with (tmp_path / "a.dng").open("rb") as stream:
        for way in (stream, negative(), levels, expected.pixels):
            assert torch.equal(as_image(way).pixels, expected.pixels)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_negative_is_upright(orientation: int) -> None:
    pytest.importorskip("rawpy")
    plain, found = read_image(negative()), read_image(negative(orientation=orientation))
    turns = {1: 0, 3: 2, 6: -1, 8: 1}[orientation]
    assert found.pixels.shape == plain.pixels.rot90(turns, (1, 2)).shape
    assert (found.pixels - plain.pixels.rot90(turns, (1, 2))).abs().mean() < 0.05
    assert found.metadata.orientation == 1


def test_results_of_negatives_are_named_as_tiff_before_and_after_all_is_read() -> None:
    content = negative()
    for known in (content[:64], content):
        assert named_for_content(Path("sub/a.DNG"), known).as_posix() == "sub/a.tif"
        assert named_for_content(Path("a.DNG"), known, "PNG").as_posix() == "a.png"
    assert sniff_format(content) == "RAW"


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "F"])
def test_no_photograph_is_taken_for_a_negative(mode: str) -> None:
    buffer = io.BytesIO()
    PILImage.new("RGB", (8, 6)).convert("L" if mode in ("I;16", "F") else mode).convert(mode).save(
        buffer, "TIFF"
    )
    assert sniff_format(buffer.getvalue()) == "TIFF"


def test_nothing_is_written_under_the_ending_of_camera_raw(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r".dng files can be read only; choose .tif or .png"):
        write_image(tmp_path / "a.dng", torch.zeros(3, 4, 4), ImageMetadata(format="RAW"))
    assert not list(tmp_path.iterdir())


def test_a_negative_is_degraded_into_a_tiff(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    (tmp_path / "a.dng").write_bytes(negative())
    assert run(["degrade", str(tmp_path / "a.dng"), "--with", "noise", "-o", str(tmp_path / "out")]) == 0
    assert sniff_format((tmp_path / "out" / "a.tif").read_bytes()) == "TIFF"


def test_a_damaged_negative_is_an_image_error() -> None:
    pytest.importorskip("rawpy")
    content = negative()
    for cut in (100, 1000, len(content) - 100):
        with pytest.raises(ImageError):
            read_image(content[:cut])


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    content = negative()
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(MissingExtraError, match=r"a.nef: developing camera raw needs .*polyrestore\[raw\]"):
        read_image(content, name="a.nef")
