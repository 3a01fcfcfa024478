"""HEIC as phones write it: more than 8 bits, fewer colours than pixels, colours that are meant otherwise."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polyrestore.imaging import encode_image, read_image

pillow_heif = pytest.importorskip("pillow_heif")


def saved(bits: int = 8, **options: Any) -> bytes:
    rows, columns = np.mgrid[:40, :64]
    levels = np.stack([rows * 6, columns * 4, rows + columns], axis=2)
    samples = (levels.astype(np.uint16) * 257) if bits > 8 else levels.astype(np.uint8)
    picture = pillow_heif.from_bytes("RGB;16" if bits > 8 else "RGB", (64, 40), samples.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, **({"quality": 90} | options))
    return buffer.getvalue()


def again(content: bytes) -> bytes:
    image = read_image(content)
    return encode_image(Path("a.heic"), image.pixels, image.metadata)[0]


@pytest.mark.parametrize("chroma", [420, 444])
def test_the_sampling_of_colours_is_kept(chroma: int) -> None:
    content = saved(chroma=chroma)
    assert pillow_heif.open_heif(io.BytesIO(content)).info["chroma"] == chroma
    assert pillow_heif.open_heif(io.BytesIO(again(content))).info["chroma"] == chroma


def test_ten_bits_stay_ten_bits() -> None:
    content = saved(10, chroma=444)
    image = read_image(content)
    assert (image.metadata.bit_depth, image.metadata.mode) == (10, "RGB16")
    levels = image.pixels * 1023
    assert (levels - levels.round()).abs().max() < 0.02
    assert not torch.equal((image.pixels * 255).round() / 255, image.pixels)
    assert (
        pillow_heif.open_heif(io.BytesIO(again(content)), convert_hdr_to_8bit=False).info["bit_depth"] == 10
    )


def test_how_colours_are_meant_is_kept() -> None:
    # BT.2020 primaries and the curve of HLG, as of a picture of high dynamic range.
    content = saved(10, color_primaries=9, transfer_characteristics=18)
    described = pillow_heif.open_heif(io.BytesIO(again(content))).info["nclx_profile"]
    assert (described["color_primaries"], described["transfer_characteristics"]) == (9, 18)


def test_what_lies_beside_the_picture_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved()
    assert not read_image(content).notes
    opened = pillow_heif.HeifImageFile

    class WithDepth(opened):  # type: ignore[misc, valid-type]
        def _open(self) -> None:
            super()._open()
            self.info["depth_images"] = [object()]

    monkeypatch.setattr(pillow_heif, "HeifImageFile", WithDepth)
    assert [note.code for note in read_image(content).notes] == ["parts_lost"]
