"""Files of several pictures: all of them are read in order, and written again with sizes, modes and times."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from PIL import features

from polyrestore.errors import ImageError, OutputError
from polyrestore.imaging import Frame, Image, ImageMetadata, encode_pages, open_pages, read_image

RELAXED = settings(max_examples=25, deadline=None, derandomize=True)
SIDES = st.integers(1, 24)


def picture(mode: str, width: int, height: int, seed: int) -> PILImage.Image:
    values = np.random.default_rng(seed).integers(0, 65536, (height, width, 4))
    if mode == "I;16":
        return PILImage.fromarray(values[:, :, 0].astype(np.uint16))
    rgba = PILImage.fromarray((values >> 8).astype(np.uint8), "RGBA")
    return rgba if mode == "RGBA" else rgba.convert("RGB").convert(mode)


def saved(pictures: Sequence[PILImage.Image], file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pictures[0].save(buffer, file_format, save_all=True, append_images=pictures[1:], **options)
    return buffer.getvalue()


def written(content: bytes, name: str) -> bytes:
    """Return a file with all pictures of another, as they were read."""
    with open_pages(content) as pages:
        again, notes = encode_pages(name, pages)
    assert not [note for note in notes if note.code in ("frames_lost", "pages_lost", "timing_lost")]
    return again


@RELAXED
@given(
    pages=st.lists(
        st.tuples(st.sampled_from(["1", "L", "P", "RGB", "RGBA", "I;16"]), SIDES, SIDES),
        min_size=1,
        max_size=5,
    ),
    compression=st.sampled_from([None, "tiff_lzw", "packbits"]),
)
def test_pages_of_any_sizes_and_modes_come_back_in_order(
    pages: list[tuple[str, int, int]], compression: str | None
) -> None:
    pictures = [picture(*page, seed=seed) for seed, page in enumerate(pages)]
    content = saved(pictures, "TIFF", compression=compression, dpi=(300, 200))
    again = written(content, "a.tif")
    with open_pages(again) as found:
        assert len(found) == len(pages)
        for page, each in zip(found, pictures, strict=True):
            buffer = io.BytesIO()
            each.save(buffer, "TIFF", dpi=(300, 200))
            alone = read_image(buffer.getvalue())
            assert torch.equal(page.pixels, alone.pixels)
            assert (page.metadata.alpha is None) == (alone.metadata.alpha is None)
            assert page.metadata.grey == alone.metadata.grey
            assert page.metadata.bit_depth == alone.metadata.bit_depth
            assert page.metadata.dpi == pytest.approx((300, 200))
            assert page.metadata.frame is None
    with PILImage.open(io.BytesIO(again)) as opened:
        assert getattr(opened, "n_frames", 1) == len(pages)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
@RELAXED
@given(
    mode=st.sampled_from(["RGB", "RGBA"]),
    width=SIDES,
    height=SIDES,
    durations=st.lists(st.integers(1, 3000), min_size=2, max_size=5),
    loops=st.integers(0, 9),
)
def test_frames_keep_their_order_times_and_loops(
    file_format: str, mode: str, width: int, height: int, durations: list[int], loops: int
) -> None:
    pictures = [picture(mode, width, height, seed) for seed in range(len(durations))]
    options: dict[str, Any] = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
    content = saved(pictures, file_format, duration=durations, loop=loops, **options)
    again = written(content, f"a.{file_format.lower()}")
    with open_pages(content) as before, open_pages(again) as after:
        assert len(after) == len(before) == len(durations)
        for one, other, duration in zip(before, after, durations, strict=True):
            assert torch.equal(one.pixels, other.pixels)
            assert one.metadata.frame == other.metadata.frame
            assert other.metadata.frame is not None
            assert other.metadata.frame.duration_ms == pytest.approx(duration)
            assert other.metadata.frame.loops == loops


def test_the_picture_of_an_animated_png_for_old_viewers_stays_out_of_the_animation() -> None:
    pictures = [picture("RGB", 5, 4, seed) for seed in range(3)]
    content = saved(pictures, "PNG", default_image=True, duration=70)
    again = written(content, "a.png")
    with PILImage.open(io.BytesIO(again)) as opened:
        assert getattr(opened, "n_frames", 1) == 3
        assert opened.default_image  # type: ignore[attr-defined]
        assert np.array_equal(np.asarray(opened), np.asarray(pictures[0]))


def test_reduced_copies_and_masks_are_no_pages_and_told() -> None:
    import tifffile

    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for kind, size in ((1, (3, 4)), (0, (6, 8)), (0, (5, 7))):
            file.write(np.zeros((*size, 3), np.uint8), photometric="rgb", subfiletype=kind, metadata=None)
        file.write(np.zeros((5, 7), bool), photometric="mask", subfiletype=4, metadata=None)
    with open_pages(buffer.getvalue()) as pages:
        assert [tuple(page.pixels.shape[1:]) for page in pages] == [(6, 8), (5, 7)]
        assert [note.code for note in pages.read(0).notes] == ["pages_lost"]
    found = read_image(buffer.getvalue())
    assert found.pixels.shape == (3, 6, 8)
    assert [note.code for note in found.notes] == ["frames_lost", "pages_lost"]


def test_a_damaged_page_is_named() -> None:
    content = saved([picture("RGB", 20, 20, seed) for seed in range(3)], "TIFF", compression="tiff_lzw")
    with PILImage.open(io.BytesIO(content)) as opened:
        opened.seek(1)
        start = opened.tag_v2[273][0]  # type: ignore[attr-defined]
    damaged = content[:start] + bytes(60) + content[start + 60 :]
    with open_pages(damaged, name="a.tif") as pages:
        pages.read(0)
        with pytest.raises(ImageError, match="a.tif, page 2"):
            pages.read(1)


FRAMES = [Image(torch.full((3, 4, 5), level), ImageMetadata(frame=Frame(40.0))) for level in (0.0, 0.5, 1.0)]
PAGES = [Image(frame.pixels, ImageMetadata()) for frame in FRAMES]


@pytest.mark.parametrize(
    ("name", "pages", "message"),
    [
        ("a.jpg", FRAMES, "JPEG holds one picture"),
        ("a.bmp", PAGES, "BMP holds one picture"),
        ("a.png", PAGES, "PNG holds no pages; TIFF does"),
        ("a.webp", PAGES, "WEBP holds no pages; TIFF does"),
        ("a.png", [*FRAMES, Image(torch.zeros(3, 2, 2), FRAMES[0].metadata)], "page 4: .* differing sizes"),
        ("a.webp", [*FRAMES, Image(torch.zeros(3, 2, 2), FRAMES[0].metadata)], "page 4: .* differing sizes"),
        ("a.tif", [], "no page"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(name: str, pages: list[Any], message: str) -> None:
    with pytest.raises(OutputError, match=message):
        encode_pages(name, pages)


def test_frames_become_pages_with_a_note() -> None:
    content, notes = encode_pages("a.tif", FRAMES)
    assert [note.code for note in notes] == ["timing_lost"]
    with open_pages(content) as pages:
        assert [float(page.pixels.mean()) for page in pages] == pytest.approx([0, 0.5, 1], abs=0.01)


def test_only_one_page_is_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = saved([picture("RGB", 6, 5, seed) for seed in range(4)], "TIFF")
    with open_pages(content) as pages:
        taken = []

        def passed() -> Any:
            for page in pages:
                taken.append(page)
                yield page
                assert len(taken) == 1
                taken.clear()

        encode_pages(tmp_path / "a.tif", passed())


@RELAXED
@given(
    width=SIDES,
    height=SIDES,
    durations=st.lists(st.integers(1, 300).map(lambda value: value * 10), min_size=2, max_size=5),
    loop=st.none() | st.integers(0, 9),
    transparent=st.booleans(),
    comment=st.none() | st.binary(min_size=1, max_size=600),
)
def test_frames_of_gif_files_keep_pixels_times_loops_and_comments(
    width: int,
    height: int,
    durations: list[int],
    loop: int | None,
    transparent: bool,
    comment: bytes | None,
) -> None:
    random = np.random.default_rng(0)
    pictures = []
    for _ in durations:
        levels = np.repeat(random.integers(0, 3, (height, width, 1)) * 100, 3, axis=2)
        alpha = (
            random.integers(0, 2, (height, width, 1)) * 255
            if transparent
            else np.full_like(levels[..., :1], 255)
        )
        pictures.append(PILImage.fromarray(np.concatenate([levels, alpha], axis=2).astype(np.uint8), "RGBA"))
    options: dict[str, Any] = {} if loop is None else {"loop": loop}
    options |= {} if comment is None else {"comment": comment}
    content = saved(pictures, "GIF", duration=durations, disposal=2, **options)
    with open_pages(content) as before:
        if len(before) == 1:
            # Pillow joins frames that are alike.
            return
    again = written(content, "a.gif")
    with open_pages(content) as before, open_pages(again) as after:
        assert len(after) == len(before)
        for one, other in zip(before, after, strict=True):
            opaque = torch.ones(1, height, width)
            alphas = [
                page.metadata.alpha if page.metadata.alpha is not None else opaque for page in (one, other)
            ]
            assert torch.equal(*alphas)
            assert torch.equal(one.pixels * (alphas[0] > 0), other.pixels * (alphas[0] > 0))
            assert one.metadata.frame == other.metadata.frame
        assert before.read(0).metadata.extras.comments == after.read(0).metadata.extras.comments
        assert after.read(0).metadata.extras.comments == (() if comment is None else (comment,))


def test_the_primary_picture_of_a_heic_file_comes_first() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.HeifFile()
    for level in (20, 120, 220):
        file.add_from_pillow(PILImage.new("L", (64, 64), level))
    buffer = io.BytesIO()
    file.save(buffer, primary_index=2, quality=90)
    found = read_image(buffer.getvalue())
    assert float(found.pixels.mean()) * 255 == pytest.approx(220, abs=2)
    assert [note.code for note in found.notes] == ["frames_lost"]
    with open_pages(buffer.getvalue()) as pages:
        assert torch.equal(pages.read(0).pixels, found.pixels)


def deep_frames(count: int, channels: int) -> list[Image]:
    values = torch.rand(count, channels, 6, 7, generator=torch.Generator().manual_seed(channels))
    values = (values * 65535).round() / 65535
    frames = []
    for number, planes in enumerate(values):
        alpha = planes[-1:] if channels in (2, 4) else None
        colour = planes[:3] if channels > 2 else planes[:1].repeat(3, 1, 1)
        shown = bool(number) or channels != 4
        frame = Frame(50.0 + number if shown else 0.0, shown=shown)
        frames.append(
            Image(colour, ImageMetadata("PNG", bit_depth=16, grey=channels < 3, alpha=alpha, frame=frame))
        )
    return frames


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_frames_of_16_bits_stay_so_where_each_is_whole(channels: int) -> None:
    frames = deep_frames(3, channels)
    content, told = encode_pages("a.png", frames)
    assert not told
    with open_pages(content) as pages:
        for one, other in zip(frames, pages, strict=True):
            assert other.metadata.bit_depth == 16
            assert not other.notes
            assert torch.equal(one.pixels, other.pixels)
            if one.metadata.alpha is not None:
                assert other.metadata.alpha is not None
                assert torch.equal(one.metadata.alpha, other.metadata.alpha)
            assert one.metadata.frame == other.metadata.frame
    place = content.rindex(b"fdAT")
    with open_pages(
        content[: place + 20] + bytes([content[place + 20] ^ 1]) + content[place + 21 :]
    ) as pages:
        pages.read(1)
        with pytest.raises(ImageError, match="page 3"):
            pages.read(2)
    # Laid over what is below: by Pillow, with 8 bits.
    place = content.rindex(b"fcTL")
    over = content[place : place + 29] + b"\x01"
    changed = content[:place] + over + zlib.crc32(over).to_bytes(4, "big") + content[place + 34 :]
    with open_pages(changed) as pages:
        assert [note.code for note in pages.read(1).notes] == ["bits_reduced"][: channels != 1]


def test_what_lies_behind_a_jpeg_or_beside_the_first_picture_is_told() -> None:
    first, second = picture("RGB", 16, 12, 1), picture("RGB", 16, 12, 2)
    plain, other, avif = io.BytesIO(), io.BytesIO(), io.BytesIO()
    first.save(plain, "JPEG")
    first.save(other, "MPO", save_all=True, append_images=[second])
    found = {"mpo": other.getvalue(), "plain": plain.getvalue()}
    found["gain map"] = found["plain"] * 2
    found["video"] = found["plain"] + b"\x00\x00\x00\x18ftypmp42" + bytes(90)
    found["other"] = found["plain"] + b"PK\x03\x04 and more"
    expected = dict.fromkeys(found, ["behind_lost"]) | {"plain": []}
    if features.check("avif"):
        first.save(avif, "AVIF", save_all=True, append_images=[second])
        found["avif"], expected["avif"] = avif.getvalue(), ["frames_lost"]
    for name, content in found.items():
        read = read_image(content)
        assert [note.code for note in read.notes] == expected[name], name
        assert read.pixels.shape == (3, 12, 16)
