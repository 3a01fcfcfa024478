"""The degradations do what their names say, measured against independent references."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from polyrestore.degradations.camera import camera_error, demosaic, mosaic
from polyrestore.degradations.depth import random_depth
from polyrestore.degradations.haze import Haze
from polyrestore.degradations.holes import MissingPixels
from polyrestore.degradations.jpeg import Jpeg, compress, store
from polyrestore.degradations.kernels import convolve_each, disk_kernels
from polyrestore.degradations.lens import MotionBlur, trajectory_kernels
from polyrestore.degradations.light import LowLight
from polyrestore.degradations.precipitation import Rain, Snow
from polyrestore.degradations.raindrop import Raindrop
from polyrestore.degradations.sensor import Downsampling, Noise


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photograph(size: int = 96) -> Tensor:
    rows, columns = torch.meshgrid(torch.linspace(0, 6, size), torch.linspace(0, 6, size), indexing="ij")
    planes = [
        0.5 + 0.3 * torch.sin(rows + columns * k) + 0.15 * torch.cos(columns * 3 * k) for k in (0.6, 1, 1.7)
    ]
    return torch.stack(planes)[None].clamp(0, 1)


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 92])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_equals_a_real_encoder(quality: int, subsampling: int) -> None:
    image = (photograph() * 255).round() / 255
    pixels = (image[0].permute(1, 2, 0) * 255).byte().numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=subsampling)
    reference = torch.from_numpy(np.array(Image.open(stream))).permute(2, 0, 1).float() / 255
    flag = torch.full((1, 1, 1, 1), subsampling / 2)
    ours = compress(image, torch.tensor([float(quality)]), flag)[0]
    assert float((ours - reference).abs().mean()) < 1.2 / 255
    damage = float((reference - image[0]).square().mean())
    assert abs(float((ours - image[0]).square().mean()) - damage) < 0.15 * damage + 1e-6


def test_gaussian_noise_has_the_named_sigma() -> None:
    flat = torch.full((1, 3, 200, 200), 0.5)
    noisy = Noise(camera_share=0)(flat, torch.tensor([0.5]), seeded())
    assert float((noisy - flat).std()) * 255 == pytest.approx(30, rel=0.02)


def test_camera_noise_is_correlated_between_neighbours_and_gaussian_noise_is_not() -> None:
    flat = torch.full((1, 3, 200, 200), 0.4)

    def correlation(camera_share: float) -> float:
        noise = Noise(camera_share=camera_share, stored_share=0)
        error = noise(flat, torch.tensor([0.4]), seeded(2)) - flat
        first, second = error[..., :-1].flatten(), error[..., 1:].flatten()
        return float(torch.corrcoef(torch.stack([first, second]))[0, 1])

    assert abs(correlation(0.0)) < 0.02
    assert correlation(1.0) > 0.2


@pytest.mark.parametrize("level", [0.35, 0.5])
def test_camera_noise_of_luma_is_as_strong_as_asked_in_the_middle_of_the_range(level: float) -> None:
    flat = torch.full((24, 3, 64, 64), level)
    error = camera_error(flat, torch.full((24, 1, 1, 1), 0.02), seeded())
    luma = (error * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)
    spread = luma.flatten(1).std(1)
    assert 0.85 * 0.02 < float(spread.min()) <= float(spread.max()) < 1.05 * 0.02


def test_camera_noise_is_weaker_in_black_and_white_and_its_chroma_is_coarse() -> None:
    steps = torch.tensor([0.03, 0.45, 0.97]).repeat_interleave(64).view(1, 1, 1, -1).expand(16, 3, 96, -1)
    error = camera_error(steps, torch.full((16, 1, 1, 1), 0.03), seeded())
    luma = (error * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)
    black, middle, white = (float(luma[..., k * 64 + 8 : k * 64 + 56].std()) for k in range(3))
    assert black < 0.75 * middle
    assert white < 0.75 * middle

    def correlation(plane: Tensor) -> float:
        first, second = plane[..., :-2].flatten(), plane[..., 2:].flatten()
        return float(torch.corrcoef(torch.stack([first, second]))[0, 1])

    assert abs(correlation(luma)) < 0.3
    assert correlation(error[:, 0] - luma) > 0.5


def test_noise_has_no_floor() -> None:
    flat = torch.full((16, 3, 32, 32), 0.5)
    error = Noise(stored_share=0)(flat, torch.full((16,), 0.001), seeded()) - flat
    assert 0 < float(error.abs().max()) < 0.5 / 255


def test_photographs_stored_at_high_quality_are_hardly_changed() -> None:
    image = photograph()
    stored = store(image.expand(8, -1, -1, -1), 1.0, seeded())
    assert 0 < float((stored - image).abs().max()) < 0.12
    assert torch.equal(store(image, 0.0, seeded()), image)


def test_tables_of_another_shape_treat_fine_detail_better() -> None:
    stripes = (torch.arange(96) % 2).float().view(1, 1, 1, -1).expand(1, 3, 96, 96) * 0.06 + 0.47
    quality, flag = torch.tensor([20.0]), torch.zeros(1, 1, 1, 1)
    annex_k = compress(stripes, quality, flag, torch.tensor([1.0]))
    assert torch.equal(annex_k, compress(stripes, quality, flag))
    flatter = compress(stripes, quality, flag, torch.tensor([0.5]))
    assert float((flatter - stripes).abs().mean()) < 0.5 * float((annex_k - stripes).abs().mean())


def test_demosaic_returns_a_flat_colour_exactly() -> None:
    flat = torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1).expand(1, 3, 12, 10)
    assert torch.allclose(demosaic(mosaic(flat)), flat, atol=1e-6)


def test_haze_moves_every_pixel_towards_one_light() -> None:
    clean = torch.rand((1, 3, 40, 40), generator=seeded()) * 0.4
    hazy = Haze(cast=0, light=(0.6, 1.0), dim_share=0, dust_share=0, noise_255=0)(
        clean, torch.tensor([1.0]), seeded(5)
    )
    assert bool((hazy >= clean - 1e-6).all())
    assert float(hazy.flatten(2).std(2).mean()) < float(clean.flatten(2).std(2).mean())


def test_low_light_loses_the_stated_exposure() -> None:
    grey = torch.full((64, 3, 8, 8), 0.9)
    plain = LowLight(
        stops=3.0,
        cast_stops=0,
        warm_share=0,
        power=(1, 1),
        noise_255=(0.01, 0.02),
        lit_share=0,
        bright_share=0,
    )
    dark = plain(grey, torch.ones(64), seeded())
    stops = torch.log2((dark**2.2).mean() / (grey**2.2).mean())
    assert float(stops) == pytest.approx(-3, abs=0.1)


def test_blur_kernels_keep_the_brightness_and_the_place() -> None:
    kernels = trajectory_kernels(torch.tensor([4.0, 12.0, 30.0]), seeded(), radius=32)
    assert torch.allclose(kernels.sum((1, 2)), torch.ones(3), atol=1e-5)
    offsets = torch.arange(65.0) - 32
    centre_row = (kernels.sum(2) * offsets).sum(1)
    centre_column = (kernels.sum(1) * offsets).sum(1)
    assert bool((centre_row.abs() < 0.05).all())
    assert bool((centre_column.abs() < 0.05).all())


def test_burnt_out_lamps_leave_bright_trails() -> None:
    night = torch.zeros(8, 3, 48, 48)
    night[..., 24, 24] = 1
    blur = MotionBlur(linear_share=1, local_share=0)
    severity = torch.full((8,), 0.5)
    brighter = replace(blur, highlight=20.0)(night, severity, seeded()).amax((1, 2, 3))
    assert bool((brighter >= replace(blur, highlight=0.0)(night, severity, seeded()).amax((1, 2, 3))).all())
    assert float(brighter.max()) > 0.9


def test_rain_and_snow_brighten_the_dark() -> None:
    dark = torch.full((16, 3, 96, 96), 0.1)
    for weather in (Rain(), Snow()):
        for amount in (0.1, 0.5, 1.0):
            change = weather(dark, torch.full((16,), amount), seeded()) - dark
            assert float(change.min()) >= -1e-6
            assert bool((change.amax((1, 2, 3)) > 0.03).all())


def test_drops_show_the_scene_upside_down() -> None:
    halves = torch.zeros(8, 3, 128, 128)
    halves[:, :, :64] = 1
    seen = Raindrop()(halves, torch.ones(8), seeded())
    assert float(seen[:, :, 40:60].min()) < 0.3
    assert float(seen[:, :, 68:88].max()) > 0.6


def test_every_kind_of_depth_runs_from_near_to_far() -> None:
    depth = random_depth(photograph().expand(30, -1, -1, -1), seeded())
    assert depth.shape == (30, 1, 96, 96)
    assert 0 <= float(depth.min()) <= float(depth.max()) <= 1
    spread = depth.flatten(1).std(1)
    assert float(spread.median()) > 0.08


def test_convolution_equals_the_direct_sum() -> None:
    image = torch.rand((2, 3, 20, 17), generator=seeded())
    kernels = torch.rand((2, 5, 5), generator=seeded(1))
    padded = torch.nn.functional.pad(image, (2, 2, 2, 2), mode="reflect")
    flipped = kernels.flip(1, 2)
    expected = torch.stack(
        [torch.nn.functional.conv2d(padded[k].unsqueeze(1), flipped[k][None, None])[:, 0] for k in range(2)]
    )
    assert torch.allclose(convolve_each(image, kernels), expected, atol=1e-5)


def test_disc_grows_with_its_radius() -> None:
    discs = disk_kernels(torch.tensor([1.0, 4.0]), 6)
    assert torch.allclose(discs.sum((1, 2)), torch.ones(2))
    assert int((discs[1] > 0).sum()) > int((discs[0] > 0).sum())


def test_downsampling_loses_fine_detail_and_keeps_the_mean() -> None:
    stripes = (torch.arange(64) % 2).float().view(1, 1, 1, -1).expand(1, 3, 64, 64)
    reduced = Downsampling()(stripes, torch.tensor([1.0]), seeded())
    assert float(reduced[..., 8:-8].std()) < 0.1
    assert float(reduced.mean()) == pytest.approx(0.5, abs=0.02)


def test_missing_pixels_are_of_one_colour_and_the_rest_is_intact() -> None:
    image = photograph()
    holed = MissingPixels(scattered_share=0)(image, torch.tensor([0.7]), seeded(1))
    changed = (holed - image).abs().amax(1, keepdim=True) > 1e-6
    assert 0.001 < float(changed.float().mean()) < 0.6
    colours = holed.permute(0, 2, 3, 1)[changed[:, 0]]
    assert float((colours - colours[0]).abs().max()) < 1e-6


def test_shifted_jpeg_grid_keeps_the_size() -> None:
    image = photograph(50)
    for seed in range(12):
        assert Jpeg(shifted_share=1)(image, torch.tensor([0.9]), seeded(seed)).shape == image.shape
