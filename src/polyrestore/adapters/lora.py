"""LoRA beside a convolution or a linear layer: a low-rank update that can be merged into the weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from polyrestore.adapters.config import AdapterConfig
from polyrestore.adapters.lora_config import LoraConfig
from polyrestore.adapters.part import AdapterPart, Scale, Weights
from polyrestore.backbones.base import AdaptableLayers

_KERNELS = ((1, 1), (3, 3))


class LoraPart(AdapterPart):
    """``scale * (alpha / rank) * B(A(x))`` (Hu et al., ICLR 2022, arXiv 2106.09685, eq. 3).

    For a convolution, A has the kernel, stride and padding of its layer and B is 1x1, as in PEFT: their
    product is then exactly a convolution of the layer's own shape, and merging loses nothing.
    """

    config_class = LoraConfig
    mergeable: ClassVar[bool] = True
    tensor_names: ClassVar[tuple[str, ...]] = ("lora_A.weight", "lora_B.weight")

    def __init__(self, config: AdapterConfig, layer: nn.Module) -> None:
        """Make an empty part for ``layer``, a convolution or linear layer that :meth:`accepts`."""
        super().__init__(config, layer)
        assert isinstance(config, LoraConfig)
        weight = layer.weight
        assert isinstance(weight, Tensor)
        outputs, inputs, *kernel = weight.shape
        self.scaling = config.alpha / config.rank
        self.lora_A = Weights((config.rank, inputs, *kernel), like=weight)
        self.lora_B = Weights((outputs, config.rank, *(1 for _ in kernel)), like=weight)

    @staticmethod
    def accepts(layer: nn.Module) -> bool:
        """Return True for 1x1 and 3x3 convolutions without groups, and for linear layers.

        Exact types only: a subclass may use its weight in its own way, or never be called at all (the output
        layer of torch's multi-head attention), and the adapter would then silently do something else.
        """
        if type(layer) is nn.Conv2d:
            return layer.groups == 1 and layer.kernel_size in _KERNELS
        return type(layer) is nn.Linear

    @staticmethod
    def preferred(layers: AdaptableLayers) -> tuple[str, ...] | None:
        """Return the layers whose weights the backbone wants updated."""
        return layers.updated

    def initialise(self, generator: Generator) -> None:
        """Draw A from ``generator`` and set B to zero, so that training starts at the bare backbone."""
        self.lora_A.draw(generator)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, features: Tensor, layer: nn.Module, scale: Scale) -> Tensor:
        """Return the update of ``layer``'s output for ``features``, (B, C, H, W) or (B, ..., C)."""
        down, up = self.lora_A.weight.to(features.dtype), self.lora_B.weight.to(features.dtype)
        # Scaled where there are only ``rank`` channels: far fewer numbers than at the output.
        if isinstance(layer, nn.Conv2d):
            # The layer's own way of convolving keeps its stride, dilation, padding and padding mode.
            hidden = layer._conv_forward(features, down, None)
            return functional.conv2d(hidden * (scale * self.scaling), up)
        hidden = functional.linear(features, down)
        return functional.linear(hidden * (scale * self.scaling), up)

    @classmethod
    def add_per_sample(
        cls,
        output: Tensor,
        features: Tensor,
        layer: nn.Module,
        parts: Sequence[tuple[AdapterPart, Tensor]],
    ) -> Tensor:
        """Return ``output`` plus the parts' updates, with one matrix product for all samples where possible.

        Training hands over batches in which every sample has an adapter of its own, and adapter by adapter
        they would cost more than the backbone.
        """
        if isinstance(layer, nn.Conv2d) and (layer.kernel_size, layer.stride) != ((1, 1), (1, 1)):
            return super().add_per_sample(output, features, layer, parts)
        if isinstance(layer, nn.Conv2d) and layer.padding not in ((0, 0), "same", "valid"):
            return super().add_per_sample(output, features, layer, parts)
        down, up = _matrices_per_sample(parts, features)
        if isinstance(layer, nn.Linear):
            rows = features.reshape(len(features), -1, features.shape[-1])
            return output + torch.bmm(torch.bmm(rows, down), up).reshape(output.shape)
        if features.is_contiguous(memory_format=torch.channels_last):
            pixels = features.permute(0, 2, 3, 1).flatten(1, 2)
            added = torch.bmm(torch.bmm(pixels, down), up)
            return output + added.reshape(len(features), *features.shape[2:], -1).permute(0, 3, 1, 2)
        pixels = features.flatten(2)
        added = torch.bmm(up.transpose(1, 2), torch.bmm(down.transpose(1, 2), pixels))
        return output + added.reshape(output.shape)

    @classmethod
    def grow(
        cls,
        fresh: Mapping[str, Tensor],
        config: AdapterConfig,
        smaller: Mapping[str, Tensor],
        smaller_config: AdapterConfig,
    ) -> dict[str, Tensor]:
        """Return the larger A and B with the smaller ones in their corners; B makes up for the scaling."""
        assert isinstance(config, LoraConfig)
        assert isinstance(smaller_config, LoraConfig)
        ratio = smaller_config.alpha / smaller_config.rank / (config.alpha / config.rank)
        rescaled = {**smaller, "lora_B.weight": smaller["lora_B.weight"] * ratio}
        return super().grow(fresh, config, rescaled, smaller_config)

    def weight_update(self) -> Tensor:
        """Return ``(alpha / rank) * B A`` in the shape of the layer's weight, float32."""
        down, up = self.lora_A.weight.float(), self.lora_B.weight.float()
        product = torch.mm(up.flatten(1), down.flatten(1)) * self.scaling
        return product.reshape(up.shape[0], *down.shape[1:])


def _matrices_per_sample(
    parts: Sequence[tuple[AdapterPart, Tensor]], features: Tensor
) -> tuple[Tensor, Tensor]:
    """Stack, for every sample, the parts that act on it.

    Returns:
        (B, C_in, K * rank) and (B, K * rank, C_out), weights included, with K the most parts that act on any
        sample; where fewer do, others fill the place with weight 0. Smaller ranks are filled up with zeros.
    """
    loras = [cast(LoraPart, part) for part, _ in parts]
    weights = torch.stack(
        [weight * part.scaling for part, (_, weight) in zip(loras, parts, strict=True)], dim=1
    )
    most = int((weights > 0).sum(1).max())
    scales, which = weights.topk(most, dim=1)
    scales, which = scales.to(features), which.to(features.device)
    rank = max(part.lora_A.weight.shape[0] for part in loras)
    downs, ups = [], []
    for part in loras:
        down, up = part.lora_A.weight.flatten(1), part.lora_B.weight.flatten(1)
        missing = rank - down.shape[0]
        downs.append(functional.pad(down, (0, 0, 0, missing)))
        ups.append(functional.pad(up, (0, missing)).t())
    down = torch.stack(downs).to(features.dtype)[which].flatten(1, 2)
    up = (torch.stack(ups).to(features.dtype)[which] * scales[:, :, None, None]).flatten(1, 2)
    return down.transpose(1, 2), up
