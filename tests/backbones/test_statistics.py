from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.backbones import published

OPTIONS = {"width": 4, "encoder_blocks": (1,), "middle_blocks": 1, "decoder_blocks": (1,)}


def test_passes_in_several_threads_do_not_meet():
    backbone = published.tiny("nafnet", OPTIONS).requires_grad_(False)
    images = [published.random_image(16, 24, seed=seed) for seed in range(8)]
    contexts = [backbone.context(image) for image in images]
    alone = [backbone(image[..., :8], context) for image, context in zip(images, contexts, strict=True)]

    def restore(number: int) -> torch.Tensor:
        return backbone(images[number][..., :8], backbone.context(images[number]))

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(restore, range(8)))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


def test_a_pass_that_fails_leaves_nothing_behind():
    backbone = published.tiny("nafnet", OPTIONS).requires_grad_(False)
    image = published.random_image(16, 24)
    before, context = backbone(image), backbone.context(image)

    def fail(*_: object) -> None:
        raise RuntimeError("in the middle")

    handle = backbone.middle_blks[0].register_forward_pre_hook(fail)
    for run in (lambda: backbone.context(image), lambda: backbone(image, context)):
        with pytest.raises(RuntimeError, match="in the middle"):
            run()
    handle.remove()
    assert torch.equal(backbone(image), before)
    assert torch.equal(backbone.context(image), context)


def test_no_gradient_is_kept_in_a_context():
    backbone = published.tiny("nafnet", OPTIONS)
    assert not backbone.context(published.random_image(8, 8)).requires_grad
    assert backbone(published.random_image(8, 8)).requires_grad


@pytest.mark.parametrize(("height", "width"), [(33, 70), (1, 65), (64, 7)])
def test_crops_cover_the_image_and_stay_below_the_limit(height, width):
    backbone = published.tiny("nafnet", OPTIONS | {"context_limit_px": 16})
    sizes = []
    backbone.intro.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[-2:]))
    backbone.context(published.random_image(height, width))
    assert max(max(size) for size in sizes) <= 16
    padded = (height + height % 2) * (width + width % 2)
    assert sum(size[0] * size[1] for size in sizes) == padded


def test_the_average_over_equal_crops_weighs_them_equally():
    backbone = published.tiny("nafnet", OPTIONS | {"context_limit_px": 16})
    image = published.random_image(16, 32)
    halves = [backbone.context(image[..., start : start + 16])[:, 4:] for start in (0, 16)]
    torch.testing.assert_close(backbone.context(image)[:, 4:], (halves[0] + halves[1]) / 2)
