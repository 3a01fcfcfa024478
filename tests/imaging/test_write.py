"""Writing: what a format cannot hold is named, what cannot be written is refused and leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from polyrestore.errors import OutputError
from polyrestore.imaging import ImageMetadata, read_image, write_image

GREY = torch.full((3, 3, 4), 0.5)
ALPHA = torch.full((1, 3, 4), 0.25)


@pytest.mark.parametrize(
    ("name", "metadata", "lost"),
    [
        ("a.jpg", ImageMetadata(bit_depth=16, alpha=ALPHA), ["16 bits", "alpha"]),
        ("a.webp", ImageMetadata(bit_depth=16, grey=True, dpi=(72, 72)), ["16 bits", "grey", "dpi"]),
        ("a.bmp", ImageMetadata(icc_profile=b"profile", exif=b"MM\0*\0\0\0\x08\0\0"), ["profile", "EXIF"]),
        ("a.jpg", ImageMetadata(exif=b"MM\0*\0\0\0\x08\0\0" + bytes(70000)), ["EXIF"]),
        ("a.png", ImageMetadata(bit_depth=16, grey=True, alpha=ALPHA, dpi=(72, 72)), []),
    ],
)
def test_losses_are_named(tmp_path: Path, name: str, metadata: ImageMetadata, lost: list[str]) -> None:
    notes = write_image(tmp_path / name, GREY, metadata)
    assert len(notes) == len(lost)
    for note, word in zip(notes, lost, strict=True):
        assert word in note
    assert read_image(tmp_path / name).pixels.shape == GREY.shape


def test_values_are_clipped_and_rounded_to_the_nearest(tmp_path: Path) -> None:
    pixels = torch.tensor([-1.0, 0.4999 / 255, 0.5001 / 255, 2.0]).reshape(1, 1, 4).expand(3, -1, -1)
    write_image(tmp_path / "a.png", pixels, ImageMetadata())
    assert (read_image(tmp_path / "a.png").pixels[0] * 255).round().tolist() == [[0, 0, 1, 255]]


def test_an_unknown_ending_takes_the_format_of_the_source(tmp_path: Path) -> None:
    write_image(tmp_path / "a.unknown", GREY, ImageMetadata(format="BMP"))
    assert (tmp_path / "a.unknown").read_bytes()[:2] == b"BM"


@pytest.mark.parametrize(
    ("pixels", "metadata", "name", "message"),
    [
        (torch.full((3, 2, 2), float("nan")), ImageMetadata(), "a.png", "not finite"),
        (torch.zeros(1, 2, 2), ImageMetadata(), "a.png", r"\(3, H, W\)"),
        (torch.zeros(3, 0, 2), ImageMetadata(), "a.png", r"\(3, H, W\)"),
        (torch.zeros(3, 2, 2), ImageMetadata(alpha=ALPHA), "a.png", "alpha"),
        (torch.zeros(3, 1, 16384), ImageMetadata(), "a.webp", "16383"),
        (torch.zeros(3, 2, 2), ImageMetadata(format="XYZ"), "a.xyz", "no format"),
        (torch.zeros(3, 2, 2), ImageMetadata(), "taken/a.png", "cannot write"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(
    tmp_path: Path, pixels: torch.Tensor, metadata: ImageMetadata, name: str, message: str
) -> None:
    (tmp_path / "taken").write_text("a file where a folder is needed")
    with pytest.raises(OutputError, match=message):
        write_image(tmp_path / name, pixels, metadata)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_failed_write_keeps_the_previous_file(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", GREY, ImageMetadata())
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(OutputError, match="quality"):
        write_image(tmp_path / "a.png", torch.zeros(3, 3, 4), ImageMetadata(), quality=0)
    assert (tmp_path / "a.png").read_bytes() == before
