"""Reading: every kind of content that the formats allow, and files that are no images."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from PIL import ImageCms

from polyrestore.errors import ImageError
from polyrestore.imaging import ImageMetadata, read_image, read_start, sniff_format, write_image


def picture(mode: str, size: tuple[int, int] = (6, 5)) -> PILImage.Image:
    values = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 4)).astype(np.uint8)
    return PILImage.fromarray(values, "RGBA").convert("RGB" if mode != "RGBA" else mode).convert(mode)


def saved(path: Path, image: PILImage.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def test_palette_with_transparency_becomes_colour_and_alpha(tmp_path: Path) -> None:
    image = picture("RGB").quantize(8)
    path = saved(tmp_path / "a.png", image, transparency=bytes([0, 128, 255]))
    found = read_image(path)
    expected = np.asarray(PILImage.open(path).convert("RGBA")).transpose(2, 0, 1)
    assert np.array_equal((found.pixels * 255).round().numpy(), expected[:3])
    assert found.metadata.alpha is not None
    assert np.array_equal((found.metadata.alpha * 255).round().numpy(), expected[3:])
    assert found.metadata.mode == "P"
    assert any("palette" in note for note in found.notes)


def test_opaque_palette_has_no_alpha(tmp_path: Path) -> None:
    assert read_image(saved(tmp_path / "a.png", picture("P"))).metadata.alpha is None


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_transparent_colour_becomes_alpha(tmp_path: Path, mode: str) -> None:
    image = picture(mode)
    key = image.getpixel((2, 1))
    found = read_image(saved(tmp_path / "a.png", image, transparency=key))
    assert found.metadata.alpha is not None
    assert found.metadata.alpha[0, 1, 2] == 0
    assert found.metadata.alpha.max() == 1
    assert found.metadata.grey == (mode == "L")


def test_one_bit_becomes_grey_with_a_note(tmp_path: Path) -> None:
    image = picture("1")
    found = read_image(saved(tmp_path / "a.png", image))
    assert np.array_equal(found.pixels[0].numpy() > 0.5, np.asarray(image))
    assert found.metadata.grey
    assert any("1-bit" in note for note in found.notes)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_becomes_rgb(tmp_path: Path, suffix: str) -> None:
    image = PILImage.new("CMYK", (8, 8), (0, 255, 255, 0))
    found = read_image(saved(tmp_path / f"a{suffix}", image))
    assert found.pixels[0].min() > 0.9
    assert found.pixels[1:].max() < 0.1
    assert any("CMYK" in note for note in found.notes)


def test_unusable_cmyk_profile_is_named(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = PILImage.new("CMYK", (8, 8), (0, 255, 255, 0))
    found = read_image(saved(tmp_path / "a.jpg", image, icc_profile=profile))
    assert found.metadata.icc_profile is None
    assert any("profile" in note for note in found.notes)


def test_lab_becomes_rgb(tmp_path: Path) -> None:
    image = PILImage.new("LAB", (4, 4), (128, 128, 128))
    found = read_image(saved(tmp_path / "a.tif", image))
    assert found.pixels.std() < 0.02
    assert found.pixels.mean() == pytest.approx(0.47, abs=0.03)


def test_float_samples_stay_floats(tmp_path: Path) -> None:
    found = read_image(saved(tmp_path / "a.tif", PILImage.new("F", (4, 4), 0.3)))
    assert torch.equal(found.pixels, torch.full((3, 4, 4), 0.3))
    assert (found.metadata.mode, found.metadata.grey, found.notes) == ("L float32", True, ())


def test_further_frames_are_noted(tmp_path: Path) -> None:
    further = [PILImage.new("RGB", (6, 5)), PILImage.new("RGB", (6, 5), "red")]
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("a.tif", {}),
        ("a.webp", {"lossless": True}),
        ("a.png", {}),
    )
    for name, options in kinds:
        path = tmp_path / name
        picture("RGB").save(path, save_all=True, append_images=further, **options)
        found = read_image(path)
        assert np.array_equal(
            (found.pixels * 255).round().permute(1, 2, 0).numpy(), np.asarray(picture("RGB"))
        )
        assert any("holds 3" in note for note in found.notes), name


def test_a_jpeg_with_several_pictures_is_a_jpeg(tmp_path: Path) -> None:
    picture("RGB").save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[picture("RGB")])
    found = read_image(tmp_path / "a.jpg")
    assert found.metadata.format == "JPEG"
    assert [note.startswith("1 further picture behind") for note in found.notes] == [True]


@pytest.mark.parametrize("block", [b"garbage", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff\x12"])
def test_broken_exif_does_not_cost_the_pixels(tmp_path: Path, block: bytes) -> None:
    path = saved(tmp_path / "a.png", picture("RGB"), exif=b"Exif\0\0" + block)
    found = read_image(path)
    assert np.array_equal((found.pixels * 255).round().permute(1, 2, 0).numpy(), np.asarray(picture("RGB")))
    for name in ("b.tif", "b.jpg", "b.png"):
        write_image(tmp_path / name, found.pixels, ImageMetadata(exif=block))
        assert read_image(tmp_path / name).pixels.shape == found.pixels.shape


def test_content_counts_and_not_the_name(tmp_path: Path) -> None:
    picture("RGB").save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    found = read_image(tmp_path / "a.jpg")
    assert found.metadata.format == "PNG"
    assert any(".jpg" in note and "PNG" in note for note in found.notes)


@pytest.mark.parametrize(
    ("name", "file_format"),
    [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.tif", "TIFF"), ("a.webp", "WEBP"), ("a.bmp", "BMP")],
)
def test_sniffed_format_is_what_was_written(tmp_path: Path, name: str, file_format: str) -> None:
    write_image(tmp_path / name, torch.zeros(3, 2, 2), ImageMetadata())
    assert sniff_format(read_start(tmp_path / name)) == file_format


def test_no_resolution_is_invented(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture("RGB").save(buffer, "JPEG")
    content = buffer.getvalue()
    # Without its JFIF segment the file says nothing about resolution.
    assert content[2:4] == b"\xff\xe0"
    (tmp_path / "a.jpg").write_bytes(content[:2] + content[20:])
    assert read_image(tmp_path / "a.jpg").metadata.dpi is None
    assert read_image(saved(tmp_path / "a.png", picture("RGB"))).metadata.dpi is None


def test_a_comment_is_read_and_not_noted(tmp_path: Path) -> None:
    found = read_image(saved(tmp_path / "a.jpg", picture("RGB"), comment="x"))
    assert found.metadata.extras.comments == (b"x",)
    assert not found.notes


def test_bomb_limit_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", picture("RGB", (30, 30)))
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", 449)
    with pytest.raises(ImageError, match="limit is 0.000898; --max-megapixels 1"):
        read_image(path)
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", 450)
    assert read_image(path).pixels.shape == (3, 30, 30)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "empty"),
        (b"hello, this is text", "not a readable"),
        (b"\x89PNG\r\n\x1a\n", "a.png"),
    ],
)
def test_what_is_no_image_is_an_image_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    assert "a.png" in str(caught.value)


@pytest.mark.parametrize("name", ["a.tif", "deep.tif"])
def test_damaged_tiff_prints_nothing(
    tmp_path: Path, contents: dict[str, bytes], capfd: pytest.CaptureFixture[str], name: str
) -> None:
    content = contents[name]
    for damaged in (content[: len(content) // 2], content[:-9] + bytes(9), content[:-600] + bytes(600)):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ImageError):
            read_image(tmp_path / name)
    assert capfd.readouterr().err == ""
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


def test_folders_pipes_and_odd_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="folder"):
        read_image(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="regular file"):
        read_image(tmp_path / "pipe.png")
    with pytest.raises(ImageError):
        read_image("a\0b.png")
    with pytest.raises(ImageError):
        read_image("x" * 5000 + ".png")


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    pixels = torch.from_numpy(np.random.default_rng(0).random((3, 24, 24)).astype(np.float32))
    folder = tmp_path_factory.mktemp("contents")
    for name in ("a.png", "a.jpg", "a.tif", "a.webp", "a.bmp", "deep.png", "deep.tif"):
        write_image(folder / name, pixels, ImageMetadata(bit_depth=16 if "deep" in name else 8))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "a.bmp", "deep.png", "deep.tif"])
def test_bytes_give_what_their_file_gives(tmp_path: Path, contents: dict[str, bytes], name: str) -> None:
    (tmp_path / name).write_bytes(contents[name])
    from_file, from_bytes = read_image(tmp_path / name), read_image(contents[name])
    assert torch.equal(from_file.pixels, from_bytes.pixels)
    assert vars(from_file.metadata) == vars(from_bytes.metadata)
    assert from_file.notes == from_bytes.notes == ()
    with pytest.raises(ImageError, match=r"^archive\.tar:a: "):
        read_image(contents[name][:40], name="archive.tar:a")


def test_a_damaged_tiff_does_not_cost_other_threads_their_messages(
    contents: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = contents["a.tif"][:-600] + bytes(600)
    finished = threading.Event()

    def read() -> None:
        while not finished.is_set():
            with pytest.raises(ImageError):
                read_image(damaged)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(300):
        os.write(2, b".")
        time.sleep(0.0005)
    finished.set()
    for reader in readers:
        reader.join()
    assert capfd.readouterr().err == "." * 300


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_truncated_and_damaged_files_never_escape_as_other_errors(
    tmp_path: Path, contents: dict[str, bytes], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(contents)))
    content = contents[name]
    length = data.draw(st.integers(1, len(content) - 1))
    (tmp_path / name).write_bytes(content[:length])
    # The tail of PNG, JPEG and WebP can be missing without a pixel being lost.
    if length < 0.7 * len(content):
        with pytest.raises(ImageError):
            read_image(tmp_path / name)

    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(damaged)
    with contextlib.suppress(ImageError):
        assert read_image(tmp_path / name).pixels.isfinite().all()
