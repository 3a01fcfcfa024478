"""16 bits per channel: our PNG code against an independent decoder, and TIFF layouts that others write."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image as PILImage

import polyrestore
from polyrestore.errors import ImageError
from polyrestore.imaging import ImageMetadata, read_image, write_image
from polyrestore.imaging.png16 import encode_png16, read_png16


def samples16(height: int, width: int, channels: int) -> np.ndarray:
    return (
        np.random.default_rng(height * width).integers(0, 65536, (height, width, channels)).astype(np.uint16)
    )


def reference_filter(octets: np.ndarray, kinds: list[int], pixel_bytes: int) -> bytes:
    """Apply the five PNG filters byte by byte, as the specification words them."""
    lines = bytearray()
    for y, kind in enumerate(kinds):
        lines.append(kind)
        for x in range(octets.shape[1]):
            left = int(octets[y, x - pixel_bytes]) if x >= pixel_bytes else 0
            above = int(octets[y - 1, x]) if y else 0
            corner = int(octets[y - 1, x - pixel_bytes]) if y and x >= pixel_bytes else 0
            estimate = left + above - corner
            distances = [abs(estimate - left), abs(estimate - above), abs(estimate - corner)]
            paeth = (left, above, corner)[distances.index(min(distances))]
            predicted = (0, left, above, (left + above) // 2, paeth)[kind]
            lines.append((int(octets[y, x]) - predicted) % 256)
    return bytes(lines)


def png_file(samples: np.ndarray, kinds: list[int], colour_type: int) -> bytes:
    height, width, channels = samples.shape
    octets = samples.astype(">u2").view(np.uint8).reshape(height, -1)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    data = zlib.compress(reference_filter(octets, kinds, 2 * channels))
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", data[:20])
        + chunk(b"IDAT", data[20:])
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("channels", "colour_type"), [(1, 0), (2, 4), (3, 2), (4, 6)])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (9, 1), (10, 6), (5, 13)])
def test_all_five_filters_are_undone(
    tmp_path: Path, channels: int, colour_type: int, height: int, width: int
) -> None:
    samples = samples16(height, width, channels)
    kinds = [(row * 3 + 4) % 5 for row in range(height)]
    (tmp_path / "a.png").write_bytes(png_file(samples, kinds, colour_type))
    assert np.array_equal(read_png16((tmp_path / "a.png").read_bytes(), "a.png"), samples)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_other_decoders_read_what_we_write(tmp_path: Path, channels: int) -> None:
    samples = samples16(7, 9, channels)
    (tmp_path / "a.png").write_bytes(encode_png16(samples))
    with PILImage.open(tmp_path / "a.png") as opened:
        opened.load()
        if channels == 1:
            assert np.array_equal(np.asarray(opened), samples[:, :, 0])
        elif channels > 2:
            difference = np.asarray(opened).astype(int) - (samples >> 8)
            assert np.abs(difference).max() <= 1
    imagecodecs = pytest.importorskip("imagecodecs")
    decoded = imagecodecs.png_decode((tmp_path / "a.png").read_bytes())
    assert np.array_equal(decoded.reshape(samples.shape), samples)


def test_a_transparent_16_bit_colour_becomes_alpha(tmp_path: Path) -> None:
    samples = samples16(4, 5, 3)
    content = png_file(samples, [0] * 4, 2)
    key = samples[2, 3].astype(">u2").tobytes()
    chunk = struct.pack(">I", 6) + b"tRNS" + key + struct.pack(">I", zlib.crc32(b"tRNS" + key))
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])
    alpha = read_image(tmp_path / "a.png").metadata.alpha
    assert alpha is not None
    assert alpha[0, 2, 3] == 0
    assert alpha.sum() == 19


def test_damaged_16_bit_png_is_refused(tmp_path: Path) -> None:
    content = bytearray(encode_png16(samples16(8, 8, 3)))
    content[-20] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match="checksum"):
        read_png16((tmp_path / "a.png").read_bytes(), "a.png")
    with pytest.raises(ImageError, match="damaged"):
        read_image(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(encode_png16(samples16(8, 8, 3))[:-80])
    with pytest.raises(ImageError, match="truncated"):
        read_image(tmp_path / "a.png")


def test_interlaced_16_bit_colour_falls_back_to_8_bits_with_a_note(tmp_path: Path) -> None:
    samples = np.full((1, 1, 3), 40000, np.uint16)
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 1)
    content = encode_png16(samples)
    chunk = b"IHDR" + header
    content = content[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]
    (tmp_path / "a.png").write_bytes(content)
    found = read_image(tmp_path / "a.png")
    assert found.metadata.bit_depth == 8
    assert any("interlaced" in note for note in found.notes)
    assert found.pixels.mean() == pytest.approx(40000 / 65535, abs=0.005)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_16_bit_tiff_of_other_writers(
    tmp_path: Path, compression: str | None, planar: str, byteorder: Literal["<", ">"]
) -> None:
    samples = samples16(11, 7, 3)
    stored = samples if planar == "contig" else np.ascontiguousarray(samples.transpose(2, 0, 1))
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        photometric="rgb",
        planarconfig=planar,
        compression=compression,
        byteorder=byteorder,
        resolution=(300, 300),
        resolutionunit="inch",
    )
    found = read_image(tmp_path / "a.tif")
    assert np.array_equal((found.pixels * 65535).round().permute(1, 2, 0).numpy(), samples)
    assert found.metadata.bit_depth == 16
    assert found.metadata.dpi == pytest.approx((300, 300))


def test_white_is_zero_and_premultiplied_alpha(tmp_path: Path) -> None:
    samples = samples16(4, 4, 1)
    tifffile.imwrite(tmp_path / "a.tif", samples[:, :, 0], photometric="miniswhite")
    assert np.array_equal(
        (read_image(tmp_path / "a.tif").pixels[0] * 65535).round(), 65535 - samples[:, :, 0]
    )

    premultiplied = np.full((4, 4, 4), 20000, np.uint16)
    premultiplied[..., 3] = 40000
    tifffile.imwrite(tmp_path / "b.tif", premultiplied, photometric="rgb", extrasamples=["assocalpha"])
    found = read_image(tmp_path / "b.tif")
    assert found.pixels.mean() == pytest.approx(0.5, abs=1e-4)
    assert found.metadata.alpha is not None
    assert found.metadata.alpha.mean() == pytest.approx(40000 / 65535)


def test_other_decoders_read_the_tiff_that_we_write(tmp_path: Path) -> None:
    for channels in (1, 3):
        samples = samples16(300, 200, channels)
        pixels = torch.from_numpy(samples.astype(np.float32) / 65535).permute(2, 0, 1).expand(3, -1, -1)
        write_image(tmp_path / "a.tif", pixels, ImageMetadata(bit_depth=16, grey=channels == 1))
        assert np.array_equal(tifffile.imread(tmp_path / "a.tif").reshape(samples.shape), samples)
        write_image(tmp_path / "b.tif", pixels, ImageMetadata(grey=channels == 1))
        eight = np.rint(samples / 65535.0 * 255)
        with PILImage.open(tmp_path / "b.tif") as opened:
            assert np.array_equal(np.asarray(opened).reshape(samples.shape), eight)


def test_16_bit_files_work_without_imagecodecs(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "lzw.tif", samples16(6, 6, 3), photometric="rgb", compression="lzw")
    script = """
import sys; sys.modules["imagecodecs"] = None
import torch
from polyrestore.imaging import ImageMetadata, read_image, write_image
pixels = torch.rand(3, 9, 8, generator=torch.Generator().manual_seed(0))
for name in ("a.png", "a.tif"):
    write_image(name, pixels, ImageMetadata(bit_depth=16))
    assert (read_image(name).pixels - pixels).abs().max() < 1e-5
found = read_image("lzw.tif")
assert found.metadata.bit_depth == 8 and "imagecodecs" in found.notes[0], found.notes
"""
    source = str(Path(polyrestore.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": source}
    command = [sys.executable, "-c", script]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=60)
