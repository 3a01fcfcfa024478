"""What CLIP is shown: as Pillow would make it, for every size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from polyrestore.errors import RecognitionError
from polyrestore.recognition.clip.preprocessing import (
    CLIP_MEAN,
    CLIP_STD,
    Preprocessing,
    preprocessing_of,
    read_preprocessing,
)


@pytest.mark.parametrize(("width", "height"), [(100, 60), (61, 97), (20, 24), (32, 32)])
def test_it_equals_pillows_bicubic_and_a_cut_of_the_middle(width: int, height: int) -> None:
    # Away from black and white, where Pillow clips between its two passes.
    levels = np.random.default_rng(0).integers(80, 176, (height, width, 3), dtype=np.uint8)
    short = min(width, height)
    size = (width * 32 // short, height * 32 // short)
    resized = Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - 32) // 2, (size[1] - 32) // 2
    expected = np.asarray(resized.crop((left, top, left + 32, top + 32)), dtype=np.float32) / 255
    image = torch.from_numpy(levels).permute(2, 0, 1)[None] / 255
    found = Preprocessing(32)(image)[0].permute(1, 2, 0) * torch.tensor(CLIP_STD) + torch.tensor(CLIP_MEAN)
    assert np.abs(found.numpy() - expected).max() < 1.5 / 255


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 200), width=st.integers(1, 200), side=st.integers(1, 40), more=st.integers(0, 9))
def test_any_size_becomes_the_square(height: int, width: int, side: int, more: int) -> None:
    square = Preprocessing(side, (0, 0, 0), (1, 1, 1), side + more)(torch.rand(1, 3, height, width))
    assert square.shape == (1, 3, side, side)
    assert bool(((square >= 0) & (square <= 1)).all())


def test_the_far_ends_of_a_long_image_do_not_matter() -> None:
    image = torch.rand(1, 3, 4, 4001)
    other = image.clone()
    other[..., :1000], other[..., -1000:] = 0, 1
    assert torch.equal(Preprocessing(32)(image), Preprocessing(32)(other))
    assert Preprocessing(224)(torch.rand(1, 3, 100_000, 1)).shape == (1, 3, 224, 224)


def test_it_is_rebuilt_from_plain_values() -> None:
    for made in (Preprocessing(32), Preprocessing(24, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5), 28)):
        assert preprocessing_of(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("preprocessor_config.json", {"size": 40, "crop_size": 32}, Preprocessing(32, resize_px=40)),
        (
            "preprocessor_config.json",
            {
                "size": {"shortest_edge": 32},
                "crop_size": {"height": 32, "width": 32},
                "image_mean": [0, 0, 0],
            },
            Preprocessing(32, (0, 0, 0)),
        ),
        (
            "processor_config.json",
            {"image_processor": {"image_std": [0.5, 0.5, 0.5]}},
            Preprocessing(32, std=(0.5, 0.5, 0.5)),
        ),
    ],
)
def test_it_is_read_from_a_clip_folder(
    tmp_path: Path, name: str, content: dict[str, object], expected: Preprocessing
) -> None:
    assert read_preprocessing(tmp_path, 32) == Preprocessing(32)
    (tmp_path / name).write_text(json.dumps(content))
    assert read_preprocessing(tmp_path, 32) == expected


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"crop_size": 33}', '{"image_mean": [1]}', '{"image_std": [0, 1, 1]}', '{"size": 16}',
     '{"size": "big"}', '{"image_mean": "abc"}'],
)  # fmt: skip
def test_a_bad_description_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(RecognitionError, match="preprocessor_config"):
        read_preprocessing(tmp_path, 32)


@pytest.mark.parametrize(
    "values", [{}, {"image_size": True}, {"image_size": 0}, {"image_size": 8, "sixe": 1}]
)
def test_bad_values_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(RecognitionError):
        preprocessing_of(values)
