from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from polyrestore.backbones import Backbone
from polyrestore.backbones.promptir import stretched_part
from polyrestore.backbones.statistics import Window
from tests.support import networks as published

TINY = published.TINY["promptir"]
KEYS = {
    "patch_embed.proj.weight": (48, 3, 3, 3),
    "prompt1.prompt_param": (1, 5, 64, 64, 64),
    "prompt2.prompt_param": (1, 5, 128, 32, 32),
    "prompt3.prompt_param": (1, 5, 320, 16, 16),
    "prompt1.linear_layer.weight": (5, 96),
    "prompt2.linear_layer.bias": (5,),
    "prompt3.linear_layer.weight": (5, 384),
    "prompt3.conv3x3.weight": (320, 320, 3, 3),
    "chnl_reduce1.weight": (64, 64, 1, 1),
    "chnl_reduce2.weight": (128, 128, 1, 1),
    "chnl_reduce3.weight": (256, 320, 1, 1),
    "reduce_noise_channel_1.weight": (48, 112, 1, 1),
    "reduce_noise_channel_2.weight": (96, 224, 1, 1),
    "reduce_noise_channel_3.weight": (192, 448, 1, 1),
    "noise_level1.attn.qkv.weight": (480, 160, 1, 1),
    "noise_level2.attn.temperature": (4, 1, 1),
    "noise_level3.norm1.body.weight": (704,),
    "reduce_noise_level1.weight": (96, 160, 1, 1),
    "reduce_noise_level2.weight": (192, 320, 1, 1),
    "reduce_noise_level3.weight": (192, 704, 1, 1),
    "up4_3.body.0.weight": (384, 192, 3, 3),
    "reduce_chan_level3.weight": (192, 288, 1, 1),
    "up3_2.body.0.weight": (384, 192, 3, 3),
    "reduce_chan_level2.weight": (96, 192, 1, 1),
    "up2_1.body.0.weight": (192, 96, 3, 3),
    "latent.7.ffn.dwconv.weight": (2042, 1, 3, 3),
    "output.weight": (3, 96, 3, 3),
}
BLOCK = (
    r"(norm[12]\.body\.(weight|bias)|attn\.(temperature|(qkv|qkv_dwconv|project_out)\.weight)"
    r"|ffn\.(project_in|dwconv|project_out)\.weight)"
)
ALL_KEYS = (
    r"(patch_embed\.proj|(down1_2|down2_3|down3_4|up4_3|up3_2|up2_1)\.body\.0|reduce_chan_level[23]|output"
    r"|chnl_reduce[123]|reduce_noise_channel_[123]|reduce_noise_level[123])\.weight"
    r"|prompt[123]\.(prompt_param|linear_layer\.(weight|bias)|conv3x3\.weight)"
    rf"|(((en|de)coder_level[123]|latent|refinement)\.\d|noise_level[123])\.{BLOCK}"
)


def tiny(**options: object) -> Backbone:
    return published.tiny("promptir", TINY | options)


def test_the_parameter_count_is_the_published_one() -> None:
    assert published.parameter_count("promptir") == 35_592_263


def test_keys_are_the_published_ones() -> None:
    published.check_published_keys("promptir", KEYS, ALL_KEYS)


@settings(max_examples=25, deadline=None)
@given(
    side=st.integers(1, 9),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    scale=st.sampled_from([2, 8]),
    data=st.data(),
)
def test_a_part_of_the_stretched_prompt_is_cut_out_of_the_whole(
    side: int, height: int, width: int, scale: int, data: st.DataObject
) -> None:
    prompt = torch.rand(1, 2, side, side)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    tall, wide = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    whole = functional.interpolate(prompt, (height, width), mode="bilinear")
    expected = functional.pad(whole, (1, 1, 1, 1))[..., top : top + tall + 2, left : left + wide + 2]
    window = Window(height * scale, width * scale, top * scale, left * scale)
    part = stretched_part(prompt, window, (tall, wide), scale)
    torch.testing.assert_close(part, expected, atol=1e-5, rtol=0)


def test_a_tile_in_the_wrong_place_is_given_another_prompt() -> None:
    backbone = tiny()
    image = published.random_image(16, 64)
    with torch.no_grad():
        context = backbone.context(image)
        tile = image[..., 32:]
        there = backbone(tile, backbone.context_at(context, 0, 32))
        elsewhere = backbone(tile, context)
    assert float((there - elsewhere).abs().max()) > 1e-3
