"""Enlarged results: their sizes, what comes with them, what the interpolation is, and what acts on it."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from torch import Tensor

from polyrestore.adapters import LoraConfig
from polyrestore.bundles import Bundle
from polyrestore.errors import CompositionError
from polyrestore.imaging import Image, ImageMetadata
from polyrestore.restoration.enlarging import SCALES, enlarge, enlarge_metadata
from polyrestore.restoration.restorer import Restorer
from tests.support.networks import random_image
from tests.support.tiny_bundle import tiny_bundle


def enlarging_bundle() -> Bundle:
    return tiny_bundle({name: LoraConfig(rank=2) for name in ("noise", "downsampling")})


SHARED = {scale: Restorer(enlarging_bundle(), "cpu", scale=scale) for scale in SCALES}


def picture(pixels: Tensor) -> Image:
    return Image(pixels, ImageMetadata())


def levels(height: int, width: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    image = random_image(height, width, seed=seed)[0]
    return {
        torch.uint8: lambda: (image * 255).round().to(torch.uint8),
        torch.uint16: lambda: (image * 65535).round().to(torch.int32).to(torch.uint16),
        torch.float32: lambda: image,
    }[dtype]()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(SCALES),
    st.sampled_from([torch.uint8, torch.uint16, torch.float32]),
)
def test_results_have_exact_sizes_and_the_type_asked_for(
    height: int, width: int, scale: int, dtype: torch.dtype
) -> None:
    restored = SHARED[scale].restore(picture(levels(height, width, torch.uint8)), "noise", dtype=dtype)
    assert restored.pixels.shape == (3, scale * height, scale * width)
    assert restored.pixels.dtype == dtype
    assert restored.weights == ({"noise": 1.0} if scale == 1 else {"noise": 1.0, "downsampling": 1.0})


@pytest.mark.parametrize("scale", SCALES[1:])
def test_the_interpolation_is_pillows(scale: int) -> None:
    image = levels(37, 300, torch.float32)
    for plane, ours in zip(image, enlarge(image, scale), strict=True):
        whole = PillowImage.fromarray(plane.numpy())
        wanted = np.asarray(whole.resize((300 * scale, 37 * scale), PillowImage.Resampling.BICUBIC))
        torch.testing.assert_close(ours, torch.tensor(wanted).clamp(0, 1), atol=1e-4, rtol=0)


def test_bands_leave_no_seam() -> None:
    image = levels(600, 9, torch.float32)
    turned = enlarge(image.transpose(1, 2).contiguous(), 3).transpose(1, 2)
    torch.testing.assert_close(enlarge(image, 3), turned, atol=1e-4, rtol=0)


def test_the_adapter_acts_on_what_was_restored_and_enlarged() -> None:
    image = levels(20, 24, torch.float32)
    small, large = SHARED[1], SHARED[2]
    before = small.restore(image, "noise").pixels
    (wanted,) = small.apply([enlarge(before, 2)], {"downsampling": 1.0})
    torch.testing.assert_close(large.restore(image, "noise").pixels, wanted, atol=1e-6, rtol=0)


def test_its_adapter_acts_once_also_where_it_is_named() -> None:
    image = levels(20, 24, torch.float32)
    (wanted,) = SHARED[1].apply([enlarge(image, 2)], {"downsampling": 1.0})
    torch.testing.assert_close(SHARED[2].restore(image, "downsampling").pixels, wanted, atol=1e-6, rtol=0)


def test_at_strength_zero_only_the_interpolation_is_left() -> None:
    image = levels(20, 24, torch.float32)
    restored = SHARED[2].restore(image, "noise", 0.0)
    torch.testing.assert_close(restored.pixels, enlarge(image, 2), atol=1e-6, rtol=0)


def test_alpha_and_further_channels_are_enlarged_along() -> None:
    alpha = torch.zeros(1, 12, 10)
    alpha[:, :, 5:] = 1
    further = np.arange(120, dtype=np.uint16).reshape(12, 10, 1)
    image = Image(levels(12, 10, torch.uint8), ImageMetadata(mode="RGBA", alpha=alpha, further=further))
    restored = SHARED[3].restore(image, "noise", dtype=torch.uint8)
    grown = restored.metadata
    assert grown.alpha is not None
    assert grown.further is not None
    assert grown.alpha.shape == (1, 36, 30)
    assert bool((grown.alpha[:, :, :9] == 0).all())
    assert bool((grown.alpha[:, :, -9:] > 0.9999).all())
    assert np.array_equal(grown.further[::3, ::3], further)
    assert enlarge_metadata(image.metadata, 1) is image.metadata


def test_hidden_pixels_do_not_bleed_over_the_rim() -> None:
    pixels = torch.full((3, 16, 16), 0.8)
    pixels[:, :, :8] = 0
    alpha = (pixels[:1] > 0).float()
    image = Image(pixels, ImageMetadata(mode="RGBA", alpha=alpha))
    # At strength 0 what is seen is the interpolation, in which there is nothing of the black.
    shown = SHARED[2].restore(image, "noise", 0.0).pixels
    torch.testing.assert_close(shown[:, :, 16:], torch.full((3, 32, 16), 0.8), atol=1e-5, rtol=0)


def test_a_grey_picture_stays_grey() -> None:
    grey = levels(15, 15, torch.uint8)[:1].expand(3, -1, -1)
    pixels = SHARED[2].restore(picture(grey), "noise").pixels
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[1], pixels[2])


def test_the_scale_is_pickled() -> None:
    assert pickle.loads(pickle.dumps(SHARED[3])).scale == 3


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: Restorer(enlarging_bundle(), scale=5), "scale must be 1, 2, 3 or 4, not 5"),
        (lambda: Restorer(tiny_bundle(), scale=2), "no adapter 'downsampling'"),
        (lambda: SHARED[2].explain(levels(9, 9, torch.float32)), "leave out the scale"),
    ],
)
def test_what_cannot_be_enlarged_is_refused(act: Callable[[], object], said: str) -> None:
    with pytest.raises(CompositionError, match=said):
        act()
