from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrestore.errors import ProtocolError
from polyrestore.evaluation.metrics import PSNR_CAP_DB, Protocol, json_number, mean_psnr, ms_ssim, psnr, ssim

RGB = Protocol()


def random_pixels(height: int = 40, width: int = 50, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def test_psnr_of_a_known_error() -> None:
    target = torch.full((3, 8, 8), 100 / 255)
    assert psnr(target + 10 / 255, target, RGB) == pytest.approx(20 * math.log10(255 / 10), abs=1e-4)


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 30), width=st.integers(1, 30), seed=st.integers(0, 99))
def test_psnr_agrees_with_its_definition(height: int, width: int, seed: int) -> None:
    image, target = random_pixels(height, width, seed), random_pixels(height, width, seed + 1)
    first, second = ((x.double() * 255).round().numpy() for x in (image, target))
    expected = 10 * np.log10(255**2 / np.mean((first - second) ** 2))
    # Single precision, as the images are.
    assert psnr(image, target, RGB) == pytest.approx(expected, abs=1e-5)


def test_equal_images_have_no_error_and_a_capped_share_in_means() -> None:
    image = random_pixels()
    assert psnr(image, image, RGB) == math.inf
    assert ssim(image, image, RGB) == pytest.approx(1.0)
    assert mean_psnr([math.inf, 50.0]) == (PSNR_CAP_DB + 50) / 2
    assert json.loads(json.dumps([json_number(v) for v in (math.inf, 2.5)], allow_nan=False)) == ["inf", 2.5]
    with pytest.raises(ProtocolError, match="no figures"):
        mean_psnr([])


def test_rounding_clips_and_hides_what_a_file_cannot_hold() -> None:
    target = (random_pixels() * 255).round() / 255
    nearly = target + 0.3 / 255
    assert psnr(nearly, target, RGB) == math.inf
    assert psnr(nearly, target, Protocol(rounded=False)) == pytest.approx(20 * math.log10(255 / 0.3), abs=0.2)


def test_luma_follows_bt601() -> None:
    target = torch.zeros(3, 8, 8)
    green = target.clone()
    green[1] = 1
    expected = 20 * math.log10(255 / 128.553)
    assert psnr(green, target, Protocol(channels="y")) == pytest.approx(expected, abs=1e-4)


def test_a_crop_leaves_out_the_border() -> None:
    target = random_pixels()
    image = target.clone()
    image[:, 0] = 1 - image[:, 0]
    assert psnr(image, target, RGB) < 40
    assert psnr(image, target, Protocol(crop_px=1)) == math.inf


@pytest.mark.parametrize("window", ["gaussian", "uniform"])
@pytest.mark.parametrize("channels", ["rgb", "y"])
def test_ssim_agrees_with_its_definition(window: str, channels: str) -> None:
    target = random_pixels()
    image = (target + 0.2 * (random_pixels(seed=1) - 0.5)).clamp(0, 1)
    protocol = Protocol(channels=channels, window=window)
    size = {"gaussian": 11, "uniform": 7}[window]
    offsets = np.arange(size) - size // 2
    profile = np.exp(-(offsets**2) / (2 * 1.5**2)) if window == "gaussian" else np.ones(size)
    kernel = np.outer(profile, profile) / np.outer(profile, profile).sum()
    first, second = ((x.double() * 255).round().numpy() / 255 for x in (image, target))
    if channels == "y":
        luma = np.array([65.481, 128.553, 24.966])[:, None, None] / 255
        first, second = ((x * luma).sum(0, keepdims=True) + 16 / 255 for x in (first, second))

    def local_mean(pixels: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (size, size), axis=(1, 2))
        means: np.ndarray = (windows * kernel).sum((-1, -2))
        return means

    mean1, mean2 = local_mean(first), local_mean(second)
    sample = 1.0 if window == "gaussian" else size**2 / (size**2 - 1)
    variance1, variance2 = (
        sample * (local_mean(each**2) - local_mean(each) ** 2) for each in (first, second)
    )
    covariance = sample * (local_mean(first * second) - mean1 * mean2)
    c1, c2 = 0.01**2, 0.03**2
    expected = ((2 * mean1 * mean2 + c1) * (2 * covariance + c2)) / (
        (mean1**2 + mean2**2 + c1) * (variance1 + variance2 + c2)
    )
    assert ssim(image, target, protocol) == pytest.approx(expected.mean(), abs=1e-9)


def noisy_squares(height: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw squares of 8 px and a noisy copy of them, (3, H, W) each, in whole grey levels."""
    generator = np.random.default_rng(seed)
    squares = generator.integers(0, 256, (3, -(-height // 8), -(-width // 8)))
    target = squares.repeat(8, 1).repeat(8, 2)[:, :height, :width]
    noisy = np.clip(target + generator.integers(-40, 41, target.shape), 0, 255)
    return torch.from_numpy(noisy / 255).float(), torch.from_numpy(target / 255).float()


# By scikit-image 0.26.0, in float64: structural_similarity(noisy, target, channel_axis=0, data_range=1.0)
# of the images and of their luma; for "gaussian" with gaussian_weights=True, sigma=1.5 and
# use_sample_covariance=False.
@pytest.mark.parametrize(
    ("size", "seed", "window", "rgb", "luma"),
    [
        ((48, 64), 0, "gaussian", 0.742511320076949, 0.7352911145910505),
        ((48, 64), 0, "uniform", 0.7253755844427886, 0.7420133875189338),
        ((23, 31), 1, "gaussian", 0.7279671726446021, 0.7738077053616255),
        ((23, 31), 1, "uniform", 0.7078645284308015, 0.7708623806443401),
        ((11, 11), 2, "gaussian", 0.7815924882710329, 0.5193729855466479),
        ((11, 11), 2, "uniform", 0.7127278989298556, 0.6296730324505408),
    ],
)
def test_ssim_is_that_of_scikit_image(
    size: tuple[int, int], seed: int, window: str, rgb: float, luma: float
) -> None:
    noisy, target = noisy_squares(*size, seed)
    assert ssim(noisy, target, Protocol(window=window)) == pytest.approx(rgb, abs=1e-6)
    assert ssim(noisy, target, Protocol(window=window, channels="y")) == pytest.approx(luma, abs=1e-6)


# By pytorch-msssim 1.0.0, in float64: ms_ssim(noisy, target, data_range=1.0) of the images and of their luma.
@pytest.mark.parametrize(
    ("size", "seed", "rgb", "luma"),
    [
        ((176, 192), 0, 0.9771046966930527, 0.9765352753432438),
        ((208, 336), 1, 0.97653657811087, 0.976312265320881),
    ],
)
def test_ms_ssim_is_that_of_pytorch_msssim(size: tuple[int, int], seed: int, rgb: float, luma: float) -> None:
    noisy, target = noisy_squares(*size, seed)
    assert ms_ssim(noisy, target, RGB) == pytest.approx(rgb, abs=1e-6)
    assert ms_ssim(noisy, target, Protocol(channels="y")) == pytest.approx(luma, abs=1e-6)


@pytest.mark.parametrize(("window", "least"), [("gaussian", 161), ("uniform", 97)])
def test_ms_ssim_takes_any_size_whose_coarsest_scale_holds_a_window(window: str, least: int) -> None:
    protocol = Protocol(window=window)
    noisy, target = noisy_squares(least, least + 2, 3)
    assert ms_ssim(target, target, protocol) == pytest.approx(1)
    assert 0.5 < ms_ssim(noisy, target, protocol) < 0.99
    with pytest.raises(ProtocolError, match=f"MS-SSIM needs at least {least}x{least} px, not {least + 2}x"):
        ms_ssim(noisy[:, 1:], target[:, 1:], protocol)


def test_ms_ssim_of_an_inverted_image_is_nothing() -> None:
    _, target = noisy_squares(168, 168, 4)
    assert ms_ssim(1 - target, target, RGB) == 0


def test_a_protocol_can_be_read() -> None:
    assert str(RGB) == "RGB, rounded to 8 bits, no crop, SSIM window gaussian 11x11 sigma 1.5"
    other = Protocol(channels="y", rounded=False, crop_px=4, window="uniform")
    expected = "BT.601 luma, not rounded, 4 px border left out, SSIM window uniform 7x7 sample covariance"
    assert str(other) == expected


@pytest.mark.parametrize("wrong", [{"channels": "lab"}, {"window": "square"}, {"crop_px": -1}])
def test_a_protocol_that_does_not_exist_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ProtocolError, match="protocol"):
        Protocol(**wrong)  # type: ignore[arg-type]


def test_images_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ProtocolError, match=r"one shape \(3, H, W\), not \(3, 4, 5\) and \(3, 5, 4\)"):
        psnr(torch.zeros(3, 4, 5), torch.zeros(3, 5, 4), RGB)
    with pytest.raises(ProtocolError, match="a crop of 2 px leaves nothing of 5x4 px"):
        psnr(torch.zeros(3, 4, 5), torch.zeros(3, 4, 5), Protocol(crop_px=2))
    with pytest.raises(ProtocolError, match="SSIM needs at least 11x11 px, not 5x4"):
        ssim(torch.zeros(3, 4, 5), torch.zeros(3, 4, 5), RGB)
