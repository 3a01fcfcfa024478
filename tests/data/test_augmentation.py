import torch
from hypothesis import given
from hypothesis import strategies as st

from polyrestore.data.augmentation import vary_light


def photographs(count, height, width, seed=0):
    return torch.rand((count, 3, height, width), generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31 - 1))
def test_any_image_keeps_its_shape_and_range(height, width, seed):
    image = photographs(3, height, width, seed)
    varied = vary_light(image, 1.0, torch.Generator().manual_seed(seed))
    assert varied.shape == image.shape
    assert torch.isfinite(varied).all()
    assert 0 <= float(varied.min()) <= float(varied.max()) <= 1


def test_the_share_of_changed_patches_is_respected():
    image = photographs(200, 4, 4)
    varied = vary_light(image, 0.3, torch.Generator().manual_seed(0))
    changed = (varied != image).flatten(1).any(1).float().mean()
    assert 0.2 < float(changed) < 0.4
    assert torch.equal(vary_light(image, 0.0, torch.Generator().manual_seed(0)), image)


def test_the_generator_decides():
    image = photographs(4, 8, 8)
    first, again, other = (vary_light(image, 1.0, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_some_photographs_get_black_areas_and_some_lose_their_colours():
    image = photographs(100, 8, 8)
    varied = vary_light(image, 1.0, torch.Generator().manual_seed(0))
    black = (varied.amax(1) == 0).flatten(1).any(1)
    grey = (varied.amax(1) - varied.amin(1)).flatten(1).amax(1) < 1e-6
    assert 0 < int(black.sum()) < 100
    assert 0 < int(grey.sum()) < 30
