"""The options of restore about files: the format of results, the quality of JPEG, the size of inputs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as PILImage

from polyrestore.imaging import ImageMetadata, read_image, write_image
from tests.cli.conftest import Outcome


@pytest.fixture
def restore(call: Callable[..., Outcome], bundle: str, tmp_path: Path) -> Callable[..., Outcome]:
    return lambda *given: call("restore", *given, "-o", tmp_path / "out", "--bundle", bundle, "--as", "noise")


def outputs(folder: Path) -> list[str]:
    lines = (folder / "report.jsonl").read_text().splitlines()
    return [json.loads(line)["output"] for line in lines]


def test_all_results_have_the_format_that_is_asked_for(
    restore: Callable[..., Outcome], photographs: Path, tmp_path: Path
) -> None:
    arguments = (photographs, "--recursive", "--format", "JPG")
    assert restore(*arguments).code == 0
    assert outputs(tmp_path / "out") == ["a.jpg", "b.jpg", "sub/c.jpg"]
    for name in outputs(tmp_path / "out"):
        assert read_image(tmp_path / "out" / name).metadata.format == "JPEG"
    assert "3 skipped" in restore(*arguments).out
    assert "3 restored" in restore(*arguments, "--jpeg-quality", 50).out


def test_images_that_nothing_is_wrong_with_are_converted_too(
    restore: Callable[..., Outcome], photographs: Path, tmp_path: Path
) -> None:
    assert restore(photographs, "--format", "png", "--strength", 0).code == 0
    assert outputs(tmp_path / "out") == ["a.png", "b.png"]
    assert (tmp_path / "out" / "a.png").read_bytes() == (photographs / "a.png").read_bytes()
    before, after = read_image(photographs / "b.jpg"), read_image(tmp_path / "out" / "b.png")
    assert torch.equal(before.pixels, after.pixels)


def test_two_results_of_one_name_both_are_kept(restore: Callable[..., Outcome], tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp"):
        write_image(tmp_path / "in" / name, torch.rand(3, 8, 8), ImageMetadata())
    for count in ("2 restored", "2 skipped"):
        assert count in restore(tmp_path / "in", "--format", "tiff").out
        assert sorted(outputs(tmp_path / "out")) == ["a-2.tif", "a.tif"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "jpge"), "unknown file format 'jpge'; did you mean 'jpeg'?"),
        (("--format", "xyz"), "unknown file format 'xyz'; known: avif, bmp"),
        (("--jpeg-quality", "0"), "quality must be from 1 to 100, or 'keep', not 0"),
        (("--jpeg-quality", "good"), "not 'good'"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    restore: Callable[..., Outcome], photographs: Path, arguments: tuple[str, ...], message: str
) -> None:
    outcome = restore(photographs, *arguments)
    assert outcome.code == 1
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_the_quality_of_a_jpeg_file_is_that_of_the_option(
    restore: Callable[..., Outcome], photographs: Path, tmp_path: Path
) -> None:
    sizes = []
    for quality in ("20", "60", "95"):
        assert restore(photographs / "b.jpg", "--jpeg-quality", quality).code == 0
        sizes.append((tmp_path / "out" / "b.jpg").stat().st_size)
    assert sizes == sorted(set(sizes))


def compressed(quality: int, subsampling: int) -> bytes:
    buffer = io.BytesIO()
    levels = (torch.rand(32, 32, 3, generator=torch.Generator().manual_seed(0)) * 255).byte().numpy()
    PILImage.fromarray(levels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()


def how(content: bytes) -> tuple[Any, Any]:
    """Return the tables and the sampling factors of a JPEG file."""
    with PILImage.open(io.BytesIO(content)) as opened:
        return opened.quantization, [layer[1:3] for layer in opened.layer]  # type: ignore[attr-defined]


@pytest.mark.parametrize("quality", [30, 75, 94, 95, 97, 100])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_jpeg_file_keeps_its_tables_where_they_are_fine_or_wanted(
    restore: Callable[..., Outcome], tmp_path: Path, quality: int, subsampling: int
) -> None:
    content = compressed(quality, subsampling)
    (tmp_path / "a.jpg").write_bytes(content)
    assert restore(tmp_path / "a.jpg", "--jpeg-quality", "keep").code == 0
    assert how((tmp_path / "out" / "a.jpg").read_bytes()) == how(content)
    assert restore(tmp_path / "a.jpg").code == 0
    assert how((tmp_path / "out" / "a.jpg").read_bytes()) == how(compressed(max(quality, 95), 0))


def test_the_limit_on_pixels_can_be_set(restore: Callable[..., Outcome], photographs: Path) -> None:
    outcome = restore(photographs / "a.png", "--max-megapixels", 0.0004)
    assert outcome.code == 1
    assert "24x20 are 0.00048 megapixels and the limit is 0.0004" in outcome.err
    assert restore(photographs / "a.png", "--max-megapixels", 0.00048).code == 0
