from __future__ import annotations

import pytest
import torch

from polyrestore.backbones import build_backbone
from polyrestore.backbones.nafnet import NAFBlock, NAFNet
from polyrestore.backbones.statistics import Statistics
from polyrestore.restoration.tiling import run_tiled
from polyrestore.runtimes.torch import TorchRuntime
from tests.support import networks as published

TINY = published.TINY["nafnet"]
DEEP = {"encoder_blocks": (2, 2, 4, 8), "middle_blocks": 12, "decoder_blocks": (2, 2, 2, 2)}
KEYS = {
    "intro.weight": (32, 3, 3, 3),
    "intro.bias": (32,),
    "ending.weight": (3, 32, 3, 3),
    "encoders.0.0.beta": (1, 32, 1, 1),
    "encoders.0.0.gamma": (1, 32, 1, 1),
    "encoders.0.0.conv1.weight": (64, 32, 1, 1),
    "encoders.0.0.conv2.weight": (64, 1, 3, 3),
    "encoders.0.0.conv3.bias": (32,),
    "encoders.3.27.conv4.weight": (512, 256, 1, 1),
    "encoders.3.27.conv5.weight": (256, 256, 1, 1),
    "encoders.3.27.sca.1.weight": (256, 256, 1, 1),
    "encoders.3.27.sca.1.bias": (256,),
    "encoders.3.27.norm1.weight": (256,),
    "encoders.3.27.norm2.bias": (256,),
    "downs.0.weight": (64, 32, 2, 2),
    "downs.3.bias": (512,),
    "middle_blks.0.conv2.weight": (1024, 1, 3, 3),
    "ups.0.0.weight": (1024, 512, 1, 1),
    "ups.3.0.weight": (128, 64, 1, 1),
    "decoders.0.0.conv1.weight": (512, 256, 1, 1),
    "decoders.3.0.beta": (1, 32, 1, 1),
}
BLOCK = r"(beta|gamma|(conv[1-5]|sca\.1|norm[12])\.(weight|bias))"
ALL_KEYS = (
    r"(intro|ending|downs\.\d)\.(weight|bias)|ups\.\d\.0\.weight"
    rf"|((en|de)coders\.\d|middle_blks)\.\d+\.{BLOCK}"
)


def tiny(**options: object) -> NAFNet:
    backbone = published.tiny("nafnet", TINY | options)
    assert isinstance(backbone, NAFNet)
    return backbone


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 17_111_907),
        (DEEP, 29_159_715),
        ({"width": 64}, 67_888_835),
        (DEEP | {"width": 64}, 115_982_915),
    ],
)
def test_parameter_counts_are_the_published_ones(options: dict[str, object], count: int) -> None:
    # 17.11, 29.16, 67.89 and 115.98 million, the affine layer normalisations included.
    assert published.parameter_count("nafnet", **options) == count


def test_keys_are_the_published_ones() -> None:
    published.check_published_keys("nafnet", KEYS, ALL_KEYS)


def test_a_new_network_starts_from_its_first_and_last_convolution() -> None:
    backbone = build_backbone("nafnet", **TINY)
    block = backbone.get_submodule("middle_blks.0")
    features = torch.rand(1, 16, 4, 4)
    assert torch.equal(block(features, Statistics()), features)


def test_images_are_padded_with_zeros_as_published() -> None:
    image = published.random_image(6, 7)
    padded = torch.zeros(1, 3, 8, 8)
    padded[..., :6, :7] = image
    backbone = tiny()
    assert torch.equal(backbone(image), backbone(padded)[..., :6, :7])


def test_local_statistics_are_the_published_conversion() -> None:
    """By hand: attention sees the mean over half the image's windows, each within the image."""
    image = published.random_image(32, 32)
    backbone, local = tiny(), tiny(local_window_px=16)
    block = local.get_submodule("encoders.0.0")
    assert isinstance(block, NAFBlock)
    seen = []
    block.sca.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    gated = []
    block.conv2.register_forward_hook(lambda _, __, output: gated.append(block.gate(output)))
    with torch.no_grad():
        converted = local(image)
        expected = torch.nn.functional.avg_pool2d(gated[0], 16, stride=1)
        expected = torch.nn.functional.pad(expected, (7, 8, 7, 8), mode="replicate")
        torch.testing.assert_close(seen[0], expected)
        assert float((converted - backbone(image)).abs().max()) > 1e-3
        # Windows as large as the image are the image.
        torch.testing.assert_close(tiny(local_window_px=32)(image), backbone(image))


def test_with_local_statistics_there_is_no_context_and_tiles_come_near() -> None:
    local = tiny(local_window_px=16)
    facts, image = local.description, published.random_image(40, 200)
    assert not facts.global_context
    assert not facts.exact_tiles
    assert facts.receptive_radius_px == tiny().description.receptive_radius_px + 8
    with torch.no_grad():
        context = local.context(image)
        assert context.shape == (1, 0)
        whole = local(image)
        assert torch.equal(local(image, local.context_at(context, 0, 8)), whole)
        near = run_tiled(TorchRuntime(local), image, 64)
        assert 0 < float((near - whole).abs().mean()) < 0.2 * float((whole - image).abs().mean())
