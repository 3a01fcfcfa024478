import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from polyrestore.data.augmentation import add_stars, squeeze_range, vary_light


def photographs(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand((count, 3, height, width), generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31 - 1))
def test_any_image_keeps_its_shape_and_range(height: int, width: int, seed: int) -> None:
    image = photographs(3, height, width, seed)
    varied = vary_light(image, 1.0, torch.Generator().manual_seed(seed))
    assert varied.shape == image.shape
    assert torch.isfinite(varied).all()
    assert 0 <= float(varied.min()) <= float(varied.max()) <= 1


def test_the_share_of_changed_patches_is_respected() -> None:
    image = photographs(200, 4, 4)
    varied = vary_light(image, 0.3, torch.Generator().manual_seed(0))
    changed = (varied != image).flatten(1).any(1).float().mean()
    assert 0.2 < float(changed) < 0.4
    assert torch.equal(vary_light(image, 0.0, torch.Generator().manual_seed(0)), image)


def test_the_generator_decides() -> None:
    image = photographs(4, 8, 8)
    first, again, other = (vary_light(image, 1.0, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_some_photographs_get_black_areas_and_some_lose_their_colours() -> None:
    image = photographs(100, 8, 8)
    varied = vary_light(image, 1.0, torch.Generator().manual_seed(0))
    black = (varied.amax(1) == 0).flatten(1).any(1)
    grey = (varied.amax(1) - varied.amin(1)).flatten(1).amax(1) < 1e-6
    assert 0 < int(black.sum()) < 100
    assert 0 < int(grey.sum()) < 30


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31 - 1))
def test_stars_fit_any_image(height: int, width: int, seed: int) -> None:
    image = photographs(3, height, width, seed)
    starry = add_stars(image, 1.0, torch.Generator().manual_seed(seed))
    assert starry.shape == image.shape
    assert 0 <= float(starry.min()) <= float(starry.max()) <= 1


def test_stars_are_bright_points_in_the_dark_and_white_where_there_is_no_colour() -> None:
    grey = torch.full((12, 3, 64, 64), 0.1)
    starry = add_stars(grey, 1.0, torch.Generator().manual_seed(1))
    assert torch.equal(starry[:, 0], starry[:, 2])
    assert bool((starry.amax((1, 2, 3)) > starry.flatten(1).median(1).values + 0.05).all())
    # A star is wider than a pixel: the brightest pixel's neighbours shine too.
    brightest = starry[:, 0].flatten(1).argmax(1)
    rows, columns = (brightest // 64).clamp(1, 62), (brightest % 64).clamp(1, 62)
    around = torch.stack(
        [
            starry[k, 0, r - 1 : r + 2, c - 1 : c + 2].median()
            for k, (r, c) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True))
        ]
    )
    assert bool((around > starry.flatten(1).median(1).values).all())
    assert torch.equal(add_stars(grey, 0.0, torch.Generator()), grey)


def test_squeezing_keeps_the_noise_in_proportion_to_the_picture() -> None:
    clean = photographs(64, 16, 16)
    noisy = (clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))).clamp(0, 1)
    squeezed, target = squeeze_range(noisy, clean, 1.0, torch.Generator().manual_seed(0))
    before = (noisy - clean).flatten(1).std(1) / clean.flatten(1).std(1)
    after = (squeezed - target).flatten(1).std(1) / target.flatten(1).std(1)
    fine = ((squeezed * 255).round() / 255 != squeezed).flatten(1).any(1)
    assert torch.allclose(before[fine], after[fine], rtol=1e-3)
    assert 16 < int(fine.sum()) < 48
    spans = target.flatten(1).amax(1) - target.flatten(1).amin(1)
    assert float(spans.min()) < 0.06
    assert float(spans.max()) > 0.4
    untouched = squeeze_range(noisy, clean, 0.0, torch.Generator().manual_seed(0))
    assert torch.equal(untouched[0], noisy)
    assert torch.equal(untouched[1], clean)
