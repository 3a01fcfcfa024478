"""TransWeather: a transformer whose decoder asks by learned weather queries.

Source: Valanarasu et al., TransWeather: Transformer-based Restoration of Images Degraded by Adverse Weather
Conditions, CVPR 2022, arXiv 2111.14813. Attribute names are those of the published state dict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.base import AdaptableLayers, Backbone, BackboneDescription, layers_in
from polyrestore.backbones.bounds import BLOCKS, CHANNELS, HEADS, MOST_CHANNELS, WholeNumber, WholeNumbers
from polyrestore.backbones.shapes import PublishedOptions, Shapes
from polyrestore.backbones.tokens import (
    EPSILON,
    PatchEmbedding,
    TokenBlock,
    initialise_transformer,
    run_stage,
)

STAGES = 4
SIZE_MULTIPLE = 64
RESIDUAL_SCALE = 0.1
# Attention has no radius. Local detail depends on the convolutions, and on two patches of the coarsest
# level to each side.
NOMINAL_RADIUS_PX = 128


class WeatherEncoder(nn.Module):
    """Four stages of tokens at 1/4 to 1/32 of the size, each helped by finer patches of the one before."""

    def __init__(
        self, dims: Sequence[int], depths: Sequence[int], heads: Sequence[int], reductions: Sequence[int]
    ) -> None:
        super().__init__()
        self.patch_embed1 = PatchEmbedding(3, dims[0], patch_px=7, stride=4)
        for stage in range(1, STAGES):
            self.add_module(f"patch_embed{stage + 1}", PatchEmbedding(dims[stage - 1], dims[stage]))
            self.add_module(f"mini_patch_embed{stage}", PatchEmbedding(dims[stage - 1], dims[stage]))
            # The finer patches of the last stage have the heads of the second one, as published.
            block = TokenBlock(dims[stage], heads[min(stage - 1, 1)], reductions[stage - 1], hidden_ratio=2)
            self.add_module(f"patch_block{stage}", nn.ModuleList([block]))
            self.add_module(f"pnorm{stage}", nn.LayerNorm(dims[stage], eps=EPSILON))
        # Never used; published checkpoints have it.
        self.mini_patch_embed4 = PatchEmbedding(dims[0], dims[3]).requires_grad_(False)
        for stage, (dim, depth) in enumerate(zip(dims, depths, strict=True)):
            blocks = [TokenBlock(dim, heads[stage], reductions[stage], hidden_ratio=2) for _ in range(depth)]
            self.add_module(f"block{stage + 1}", nn.ModuleList(blocks))
            self.add_module(f"norm{stage + 1}", nn.LayerNorm(dim, eps=EPSILON))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W), in multiples of 64, to (B, C, H / s, W / s) for s = 4, 8, 16 and 32."""
        levels: list[Tensor] = []
        features, finer = image, None
        for stage in range(1, STAGES + 1):
            tokens, height, width = self._part("patch_embed", stage)(features)
            embedded = tokens.transpose(1, 2).unflatten(2, (height, width))
            if finer is not None:
                embedded = embedded + finer
                tokens = embedded.flatten(2).transpose(1, 2)
            if stage < STAGES:
                small, small_height, small_width = self._part("mini_patch_embed", stage)(embedded)
                blocks = cast(nn.ModuleList, self._part("patch_block", stage))
                finer = run_stage(blocks, self._part("pnorm", stage), small, small_height, small_width)
            blocks = cast(nn.ModuleList, self._part("block", stage))
            features = run_stage(blocks, self._part("norm", stage), tokens, height, width)
            levels.append(features)
        return levels

    def _part(self, name: str, stage: int) -> nn.Module:
        return self.get_submodule(f"{name}{stage}")


class WeatherDecoder(nn.Module):
    """Blocks at 1/64 of the size, where learned queries ask the tokens for the kind of weather."""

    def __init__(self, dim: int, depth: int, heads: int, queries: int) -> None:
        super().__init__()
        self.patch_embed1 = PatchEmbedding(dim, dim)
        self.block1 = nn.ModuleList(
            TokenBlock(dim, heads, reduction=1, hidden_ratio=4, queries=queries) for _ in range(depth)
        )
        self.norm1 = nn.LayerNorm(dim, eps=EPSILON)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H / 2, W / 2)."""
        tokens, height, width = self.patch_embed1(features)
        return run_stage(self.block1, self.norm1, tokens, height, width)


class Convolution(nn.Module):
    """A 3x3 convolution, one level down as the published names have it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, D, H, W)."""
        return cast(Tensor, self.conv2d(features))


class Doubling(nn.Module):
    """A transposed convolution to twice the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv2d = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, D, 2 H, 2 W)."""
        return cast(Tensor, self.conv2d(features))


class ResidualPair(nn.Module):
    """Two 3x3 convolutions whose result is scaled down and added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = Convolution(width, width), Convolution(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        inner = self.conv2(functional.relu(self.conv1(features)))
        return cast(Tensor, features + RESIDUAL_SCALE * inner)


class ConvolutionalTail(nn.Module):
    """Back to full resolution by doublings, with the encoder's levels added on the way."""

    def __init__(self, dims: Sequence[int], tail_dims: Sequence[int]) -> None:
        super().__init__()
        first, second, third, fourth = dims
        half, full = tail_dims
        self.convd32x = Doubling(fourth, fourth)
        self.convd16x = Doubling(fourth, third)
        self.dense_4 = nn.Sequential(ResidualPair(third))
        self.convd8x = Doubling(third, second)
        self.dense_3 = nn.Sequential(ResidualPair(second))
        self.convd4x = Doubling(second, first)
        self.dense_2 = nn.Sequential(ResidualPair(first))
        self.convd2x = Doubling(first, half)
        self.dense_1 = nn.Sequential(ResidualPair(half))
        self.convd1x = Doubling(half, full)
        # Never used; published checkpoints have it.
        self.conv_output = Convolution(full, 3).requires_grad_(False)

    def forward(self, levels: Sequence[Tensor], decoded: Tensor) -> Tensor:
        """Map the encoder's levels and the decoder's (B, C, H / 64, W / 64) to (B, D, H, W)."""
        features = self.convd16x(self.convd32x(decoded) + levels[3])
        features = self.convd8x(self.dense_4(features) + levels[2])
        features = self.convd4x(self.dense_3(features) + levels[1])
        features = self.convd2x(self.dense_2(features) + levels[0])
        return cast(Tensor, self.convd1x(self.dense_1(features)))


class TransWeather(Backbone):
    """TransWeather (Valanarasu et al., CVPR 2022, arXiv 2111.14813): 38,052,078 parameters.

    296,667 of them are never used and frozen; they are here so that published checkpoints load strictly.

    Images in [0, 1] are mapped to (x - 0.5) / 0.5 inside. The last layer is tanh, and its value is the
    restored image in [0, 1] as it stands, without a shift or a scale: the published training compares it with
    targets in [0, 1]. Values below 0 are possible and are clipped by whoever writes the image. Images are
    mirrored at the right and lower border up to multiples of 64, as the code released with Art (Wu et al.,
    ACM MM 2024) tests it; TransWeather's own test code changes the images' sizes to multiples of 16 instead.

    Attention spans whole images, so that tiles only come close to the whole. The published training also
    drops residual branches at random (up to one in ten); this network never does.

    Args:
        dims: channels of the four stages.
        depths: blocks of the encoder's stages.
        heads: attention heads of the encoder's stages.
        reductions: how much smaller the keys' feature maps are, by stage.
        decoder_depth: blocks of the decoder.
        decoder_heads: attention heads of the decoder.
        queries: learned weather queries in each of the decoder's blocks.
        tail_dims: channels at half and at full resolution.
    """

    padding_mode = "reflect"
    tiny_options = {
        "dims": (4, 4, 8, 8),
        "depths": (1, 1, 1, 1),
        "heads": (1, 2, 2, 2),
        "decoder_depth": 1,
        "decoder_heads": 2,
        "queries": 4,
        "tail_dims": (4, 4),
    }
    bounds = {
        "dims": WholeNumbers(CHANNELS, STAGES, STAGES),
        "depths": WholeNumbers(BLOCKS, STAGES, STAGES),
        "heads": WholeNumbers(HEADS, STAGES, STAGES),
        "reductions": WholeNumbers(WholeNumber(1, SIZE_MULTIPLE // 4), STAGES, STAGES),
        "decoder_depth": BLOCKS,
        "decoder_heads": HEADS,
        "queries": WholeNumber(1, MOST_CHANNELS),
        "tail_dims": WholeNumbers(CHANNELS, 2, 2),
    }

    def __init__(
        self,
        dims: Sequence[int] = (64, 128, 320, 512),
        depths: Sequence[int] = (2, 2, 2, 2),
        heads: Sequence[int] = (1, 2, 4, 4),
        reductions: Sequence[int] = (4, 2, 2, 1),
        decoder_depth: int = 3,
        decoder_heads: int = 8,
        queries: int = 48,
        tail_dims: Sequence[int] = (16, 8),
    ) -> None:
        super().__init__()
        by_stage = {"dims": dims, "depths": depths, "heads": heads, "reductions": reductions}
        self.options = {
            **{name: list(values) for name, values in by_stage.items()},
            "decoder_depth": decoder_depth,
            "decoder_heads": decoder_heads,
            "queries": queries,
            "tail_dims": list(tail_dims),
        }
        self.description = BackboneDescription(
            name="transweather",
            size_multiple=SIZE_MULTIPLE,
            minimum_size_px=SIZE_MULTIPLE,
            receptive_radius_px=NOMINAL_RADIUS_PX,
            global_context=False,
            exact_tiles=False,
        )
        self.Tenc = WeatherEncoder(dims, depths, heads, reductions)
        self.Tdec = WeatherDecoder(dims[3], decoder_depth, decoder_heads, queries)
        self.convtail = ConvolutionalTail(dims, tail_dims)
        self.clean = Convolution(tail_dims[1], 3)
        initialise_transformer(self.Tenc)
        initialise_transformer(self.Tdec)

    def output_layer(self) -> nn.Conv2d:
        """Return the convolution that makes the image out of the decoder's last features."""
        return self.clean.conv2d

    @classmethod
    def published_options(cls, shapes: Shapes) -> PublishedOptions | None:
        """Return the widths, depths, reductions and queries of a published state dict; heads are assumed."""
        if "Tenc.patch_embed1.proj.weight" not in shapes or "Tdec.block1.0.attn.task_query" not in shapes:
            return None

        def reduction(stage: int) -> int:
            key = f"Tenc.block{stage}.0.attn.sr.weight"
            return shapes.size(key, 2) if key in shapes else 1

        stages = range(1, STAGES + 1)
        options: dict[str, object] = {
            "dims": [shapes.size(f"Tenc.patch_embed{stage}.proj.weight", 0) for stage in stages],
            "depths": [shapes.count(f"Tenc.block{stage}") for stage in stages],
            "reductions": [reduction(stage) for stage in stages],
            "decoder_depth": shapes.count("Tdec.block1"),
            "queries": shapes.size("Tdec.block1.0.attn.task_query", 1),
            "tail_dims": [shapes.size(f"convtail.convd{side}x.conv2d.weight", 1) for side in (2, 1)],
        }
        return PublishedOptions(options, ("heads", "decoder_heads"))

    def adaptable_layers(self) -> AdaptableLayers:
        """Return the linear layers of all blocks; in parallel, what sees tokens as a map, and the tail.

        The decoder's blocks get no parallel module: at 1/64 of the size it has no neighbourhood to look at,
        and three quarters of the parameters would go there.
        """
        maps = [path for path in layers_in(self, TokenBlock, ("mlp.dwconv.dwconv",)) if path[:5] == "Tenc."]
        return AdaptableLayers(
            updated=layers_in(self, TokenBlock, ("attn.q", "attn.kv", "attn.proj", "mlp.fc1", "mlp.fc2")),
            paralleled=(*maps, *layers_in(self, ResidualPair, ("conv2.conv2d",))),
            idle=("Tenc.mini_patch_embed4", "convtail.conv_output"),
        )

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Restore (B, 3, H, W), RGB in [0, 1], any size from 1x1; ``context`` is not used."""
        height, width = image.shape[-2:]
        padded = self.pad(image)
        levels = self.Tenc((padded - 0.5) / 0.5)
        features = self.convtail(levels, self.Tdec(levels[-1]))
        return cast(Tensor, self.clean(features).tanh()[..., :height, :width])
