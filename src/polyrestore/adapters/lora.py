"""LoRA beside a convolution or a linear layer: a low-rank update that can be merged into the weight."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from polyrestore.adapters.config import AdapterConfig, LoraConfig
from polyrestore.adapters.part import AdapterPart, Scale, Weights

_KERNELS = ((1, 1), (3, 3))


class LoraPart(AdapterPart):
    """``scale * (alpha / rank) * B(A(x))`` (Hu et al., ICLR 2022, arXiv 2106.09685, eq. 3).

    For a convolution, A has the kernel, stride and padding of its layer and B is 1x1, as in PEFT: their
    product is then exactly a convolution of the layer's own shape, and merging loses nothing.
    """

    kind: ClassVar[str] = "lora"
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

    def weight_update(self) -> Tensor:
        """Return ``(alpha / rank) * B A`` in the shape of the layer's weight, float32."""
        down, up = self.lora_A.weight.float(), self.lora_B.weight.float()
        product = torch.mm(up.flatten(1), down.flatten(1)) * self.scaling
        return product.reshape(up.shape[0], *down.shape[1:])
