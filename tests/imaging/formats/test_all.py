"""What every file format promises, whichever it is: one picture, read and written, on every way in."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from PIL import ImageCms

from polyrestore import devices
from polyrestore.errors import ImageError, MissingExtraError, OutputError
from polyrestore.imaging import FORMATS, Image, ImageMetadata, encode_image, read_image, sniff_format
from polyrestore.restoration.inputs import as_image

EXTRAS = {"HEIF": "pillow_heif"}
# Of a smooth picture at the quality that is written by default, in levels of 255.
LARGEST_ERROR = 6.0
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
WRITABLE = [name for name, found in FORMATS.items() if found.encode is not None]
RELAXED = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def _skip_without_extra(request: pytest.FixtureRequest) -> None:
    parameters = getattr(request.node, "callspec", None)
    name = parameters.params.get("name") if parameters else None
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])


def smooth(height: int, width: int, channels: int, seed: int) -> torch.Tensor:
    """Return (channels, height, width) in [0, 1] that compresses well."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 40
    phases = generator.random((channels, 3)) * 6
    planes = [0.5 + 0.4 * np.sin(a + rows) * np.cos(b + columns) for a, b, _ in phases]
    return torch.from_numpy(np.stack(planes).astype(np.float32))


def encoded(name: str, pixels: torch.Tensor, **metadata: Any) -> tuple[bytes, tuple[str, ...]]:
    return encode_image(Path(f"a{FORMATS[name].suffixes[0]}"), pixels, ImageMetadata(**metadata))


@pytest.mark.parametrize("name", WRITABLE)
@RELAXED
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    grey=st.booleans(),
    with_alpha=st.booleans(),
    bit_depth=st.sampled_from([8, 10, 12, 16]),
    lossless=st.booleans(),
    seed=st.integers(0, 99),
)
def test_what_is_written_is_read_again(
    name: str,
    height: int,
    width: int,
    grey: bool,
    with_alpha: bool,
    bit_depth: int,
    lossless: bool,
    seed: int,
) -> None:
    pixels = smooth(height, width, 1 if grey else 3, seed).expand(3, -1, -1)
    alpha = (smooth(height, width, 1, seed + 1) > 0.5).float() if with_alpha else None
    content, notes = encoded(
        name, pixels, grey=grey, alpha=alpha, bit_depth=bit_depth, lossless=lossless, icc_profile=SRGB
    )
    holder = FORMATS[name]
    assert sniff_format(content[:64]) == sniff_format(content) == name
    again = read_image(content)
    assert again.pixels.shape == (3, height, width)
    assert again.metadata.format == name
    visible = torch.ones(1, height, width) if alpha is None else alpha
    step = 0.51 if name != "GIF" else 40.0
    allowed = step if again.metadata.lossless else LARGEST_ERROR
    # WebP has less colours than pixels, which shows in small images.
    difference = ((again.pixels - pixels).mean(0) if name == "WEBP" else again.pixels - pixels) * visible
    assert difference.abs().max() * 255 <= allowed
    kept = again.metadata
    assert kept.bit_depth == min((b for b in holder.bit_depths if b >= bit_depth), default=kept.bit_depth)
    assert (kept.alpha is not None) <= holder.alpha
    if alpha is not None and holder.alpha and not bool((alpha == 1).all()):
        assert kept.alpha is not None
        assert ((kept.alpha - alpha).abs().max() * 255 <= LARGEST_ERROR).item()
    if not grey:
        assert (kept.icc_profile == SRGB) == holder.icc_profile
    told = " ".join(notes)
    assert ("bits per channel" in told) == (bit_depth > max(holder.bit_depths))
    assert ("alpha, dropped" in told) == (with_alpha and not holder.alpha)


@pytest.mark.parametrize("name", WRITABLE)
@RELAXED
@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    mode=st.sampled_from(["L", "RGB", "RGBA"]),
    seed=st.integers(0, 99),
)
def test_every_way_in_gives_the_same_pixels(
    tmp_path: Path, name: str, height: int, width: int, mode: str, seed: int
) -> None:
    alpha = smooth(height, width, 1, seed) if mode == "RGBA" else None
    pixels = smooth(height, width, 3 if mode != "L" else 1, seed).expand(3, -1, -1)
    content, _ = encoded(name, pixels, grey=mode == "L", alpha=alpha)
    path = tmp_path / f"a{FORMATS[name].suffixes[0]}"
    path.write_bytes(content)
    expected = as_image(path)
    planes = expected.pixels[:1] if expected.metadata.grey else expected.pixels
    if expected.metadata.alpha is not None:
        planes = torch.cat([planes, expected.metadata.alpha])
    levels = (planes * 255).round().byte().permute(1, 2, 0).numpy()
    ways: list[Any] = [content, io.BytesIO(content), str(path), levels, planes]
    if name == "HEIF":
        ways.append(FORMATS[name].open(content))
    else:
        ways.append(PILImage.open(io.BytesIO(content)))
    for way in ways:
        assert_same(as_image(way), expected)
    with path.open("rb") as stream:
        assert_same(as_image(stream), expected)


def assert_same(found: Image, expected: Image) -> None:
    assert torch.equal(found.pixels, expected.pixels)
    assert found.metadata.grey == expected.metadata.grey
    one, other = found.metadata.alpha, expected.metadata.alpha
    assert (one is None) == (other is None)
    assert one is None or other is None or torch.equal(one, other)


@pytest.mark.parametrize("name", [name for name in WRITABLE if FORMATS[name].exif])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_exif_is_kept_and_upright(name: str, orientation: int) -> None:
    tags = PILImage.Exif()
    tags[0x010F], tags[0x0112] = "A camera", 1
    content, notes = encoded(name, smooth(8, 12, 3, 0), exif=tags.tobytes().removeprefix(b"Exif\0\0"))
    assert not notes
    found = read_image(content).metadata
    assert found.exif is not None
    parsed = PILImage.Exif()
    parsed.load(b"Exif\0\0" + found.exif)
    assert parsed[0x010F] == "A camera"
    assert found.orientation == 1


@pytest.mark.parametrize("name", WRITABLE)
@RELAXED
@given(data=st.data())
def test_damage_never_escapes_as_another_error(name: str, data: st.DataObject) -> None:
    content, _ = encoded(name, smooth(20, 20, 3, 0))
    damaged = bytearray(content[: data.draw(st.integers(1, len(content)))])
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    message = ""
    try:
        assert read_image(bytes(damaged)).pixels.isfinite().all()
    except (ImageError, MissingExtraError) as error:
        message = str(error)
    assert "\n" not in message


def test_a_missing_extra_is_named_with_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    content, _ = encoded("HEIF", smooth(8, 8, 3, 0))
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(content)
    with pytest.raises(
        MissingExtraError, match=r"a.heic: reading HEIC needs pillow_heif.*polyrestore\[heif\]"
    ):
        read_image(tmp_path / "a.heic")
    with pytest.raises(MissingExtraError, match=r"writing HEIC needs pillow_heif.*polyrestore\[heif\]"):
        encoded("HEIF", smooth(8, 8, 3, 0))


def test_larger_images_than_the_limit_are_refused_with_the_way_to_raise_it() -> None:
    content, _ = encoded("PNG", smooth(40, 50, 3, 0))
    with pytest.raises(ImageError, match=r"50x40 are 0.002 megapixels .* --max-megapixels 1 raises it"):
        read_image(content, max_megapixels=0.001)
    assert read_image(content, max_megapixels=0.002).pixels.shape == (3, 40, 50)


def test_images_that_do_not_fit_into_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    PILImage.new("1", (5000, 4000)).save(content, "PNG")
    monkeypatch.setattr(devices, "available_bytes", lambda device: 400_000_000)
    with pytest.raises(ImageError, match=r"need about 0.5 GB of memory; 0.4 GB are free"):
        read_image(content.getvalue())
    monkeypatch.setattr(devices, "available_bytes", lambda device: None)
    assert read_image(content.getvalue()).pixels.shape == (3, 4000, 5000)


def test_gif_holds_few_colours_exactly() -> None:
    levels = np.zeros((8, 8, 3), np.uint8)
    levels[:4] = (10, 200, 30)
    pixels = torch.from_numpy(levels / np.float32(255)).permute(2, 0, 1)
    content, notes = encoded("GIF", pixels)
    assert not notes
    assert torch.equal((read_image(content).pixels * 255).round(), (pixels * 255).round())
    _, notes = encoded("GIF", smooth(40, 40, 3, 0))
    assert any("256 colours" in note for note in notes)


def test_quality_is_checked() -> None:
    with pytest.raises(OutputError, match="quality"):
        encode_image(Path("a.avif"), smooth(8, 8, 3, 0), ImageMetadata(), quality=101)
