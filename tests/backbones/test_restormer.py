from __future__ import annotations

import pytest
import torch

from polyrestore.backbones import Backbone
from polyrestore.backbones.statistics import RecordedStatistics, ReplayedStatistics, Statistics, Window
from polyrestore.backbones.transposed import Norm
from tests.support import networks as published

TINY = published.TINY["restormer"]
KEYS = {
    "patch_embed.proj.weight": (48, 3, 3, 3),
    "encoder_level1.0.norm1.body.weight": (48,),
    "encoder_level1.0.norm1.body.bias": (48,),
    "encoder_level1.3.attn.temperature": (1, 1, 1),
    "encoder_level2.5.attn.qkv.weight": (288, 96, 1, 1),
    "encoder_level3.5.attn.qkv_dwconv.weight": (576, 1, 3, 3),
    "latent.7.attn.temperature": (8, 1, 1),
    "latent.7.attn.project_out.weight": (384, 384, 1, 1),
    "latent.0.ffn.project_in.weight": (2042, 384, 1, 1),
    "latent.0.ffn.dwconv.weight": (2042, 1, 3, 3),
    "latent.0.ffn.project_out.weight": (384, 1021, 1, 1),
    "decoder_level3.5.norm2.body.weight": (192,),
    "decoder_level2.5.norm2.body.bias": (96,),
    "decoder_level1.3.attn.qkv.weight": (288, 96, 1, 1),
    "refinement.3.ffn.project_in.weight": (510, 96, 1, 1),
    "down1_2.body.0.weight": (24, 48, 3, 3),
    "down2_3.body.0.weight": (48, 96, 3, 3),
    "down3_4.body.0.weight": (96, 192, 3, 3),
    "up4_3.body.0.weight": (768, 384, 3, 3),
    "up3_2.body.0.weight": (384, 192, 3, 3),
    "up2_1.body.0.weight": (192, 96, 3, 3),
    "reduce_chan_level3.weight": (192, 384, 1, 1),
    "reduce_chan_level2.weight": (96, 192, 1, 1),
    "output.weight": (3, 96, 3, 3),
}
BLOCK = (
    r"(norm[12]\.body\.(weight|bias)|attn\.(temperature|(qkv|qkv_dwconv|project_out)\.weight)"
    r"|ffn\.(project_in|dwconv|project_out)\.weight)"
)
ALL_KEYS = (
    r"(patch_embed\.proj|(down1_2|down2_3|down3_4|up4_3|up3_2|up2_1)\.body\.0|reduce_chan_level[23]|output)"
    rf"\.weight|((en|de)coder_level[123]|latent|refinement)\.\d\.{BLOCK}"
)


def tiny(**options: object) -> Backbone:
    return published.tiny("restormer", TINY | options)


@pytest.mark.parametrize(("norm_bias", "count"), [(True, 26_126_644), (False, 26_111_668)])
def test_parameter_counts_are_the_published_ones(norm_bias: bool, count: int) -> None:
    assert published.parameter_count("restormer", norm_bias=norm_bias) == count


def test_keys_are_the_published_ones() -> None:
    published.check_published_keys("restormer", KEYS, ALL_KEYS)
    without_bias = {key: shape for key, shape in KEYS.items() if not key.endswith("bias")}
    published.check_published_keys(
        "restormer", without_bias, ALL_KEYS.replace("(weight|bias)", "weight"), norm_bias=False
    )


@pytest.mark.parametrize("bias", [True, False])
def test_norms_follow_the_published_formula(bias: bool) -> None:
    norm = Norm(6, bias)
    features = torch.randn(2, 6, 3, 5) + 3
    centred = features - features.mean(1, keepdim=True)
    deviation = (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(norm(features), (centred if bias else features) / deviation)


def test_moments_of_parts_give_the_cosines_of_the_whole() -> None:
    queries, keys = torch.randn(2, 2, 3, 40), 5 * torch.randn(2, 2, 3, 40)
    queries[:, 0, 0] = 0
    total = torch.zeros(2, 2 * (9 + 3 + 3))
    for start, stop in ((0, 10), (10, 40)):
        part = RecordedStatistics(Window(8, 8, 0, 0))
        part.cosines(queries[..., start:stop], keys[..., start:stop], (1, stop - start))
        total += part.vector() * (stop - start) / 40
    replayed = ReplayedStatistics(torch.cat([torch.tensor([[8.0, 8.0, 0.0, 0.0]] * 2), total], 1))
    cosines = replayed.cosines(queries[..., :5], keys[..., :5], (1, 5))
    torch.testing.assert_close(cosines, Statistics().cosines(queries, keys, (1, 40)), atol=1e-6, rtol=0)


def test_images_are_mirrored_at_the_border() -> None:
    image = published.random_image(12, 13)
    padded = torch.nn.functional.pad(image, (0, 3, 0, 4), mode="reflect")
    backbone = tiny()
    assert torch.equal(backbone(image), backbone(padded)[..., :12, :13])
