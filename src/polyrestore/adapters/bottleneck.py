"""AdaIR's convolutional bottleneck in parallel to a convolution; being non-linear, it never merges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor, nn
from torch.nn import functional

from polyrestore.adapters.config import AdapterConfig
from polyrestore.adapters.part import AdapterPart, Scale, Weights
from polyrestore.backbones.base import AdaptableLayers
from polyrestore.errors import AdapterError


@dataclass(frozen=True)
class BottleneckConfig(AdapterConfig):
    """AdaIR's convolutional adapter beside convolutions (arXiv 2404.11475).

    Without ``targets`` and with a backbone that names none, every 1x1 or 3x3 convolution that keeps the image
    size is adapted.

    Attributes:
        reduction: the bottleneck has this many times fewer channels than its layer's narrower side.

    Raises:
        AdapterError: a value is out of range.
    """

    kind: ClassVar[str] = "bottleneck"
    reduction: int = 4

    def __post_init__(self) -> None:
        if isinstance(self.reduction, bool) or not isinstance(self.reduction, int) or self.reduction < 1:
            raise AdapterError(
                f"a bottleneck reduction must be a whole number of at least 1, not {self.reduction!r}"
            )


class BottleneckPart(AdapterPart):
    """``scale * up(GELU(depthwise(down(x))))``, 1x1, 3x3 depth-wise and 1x1 (AdaIR, arXiv 2404.11475).

    The paper does not publish the layout. Width: the layer's narrower side divided by the reduction, so that
    layers which widen or narrow cost no more than square ones; every convolution has a bias. Beside a 1x1
    convolution the 3x3 kernel lets an output pixel see one pixel further, at its layer's resolution, than the
    bare backbone does.
    """

    config_class = BottleneckConfig
    mergeable: ClassVar[bool] = False
    tensor_names: ClassVar[tuple[str, ...]] = tuple(
        f"bottleneck_{layer}.{tensor}"
        for layer in ("down", "depthwise", "up")
        for tensor in ("weight", "bias")
    )

    def __init__(self, config: AdapterConfig, layer: nn.Module) -> None:
        """Make an empty part for ``layer``, a convolution that :meth:`accepts`."""
        super().__init__(config, layer)
        assert isinstance(config, BottleneckConfig)
        assert isinstance(layer, nn.Conv2d)
        width = max(1, min(layer.in_channels, layer.out_channels) // config.reduction)
        like = layer.weight
        self.bottleneck_down = Weights((width, layer.in_channels, 1, 1), like=like, bias=True)
        self.bottleneck_depthwise = Weights((width, 1, 3, 3), like=like, bias=True)
        self.bottleneck_up = Weights((layer.out_channels, width, 1, 1), like=like, bias=True)

    @staticmethod
    def accepts(layer: nn.Module) -> bool:
        """Return True for 1x1 and 3x3 convolutions, in groups or not, with outputs as large as inputs."""
        if type(layer) is not nn.Conv2d or layer.stride != (1, 1):
            return False
        if layer.kernel_size == (1, 1):
            return layer.padding in ((0, 0), "same", "valid")
        return layer.kernel_size == (3, 3) and layer.padding in (layer.dilation, "same")

    @staticmethod
    def preferred(layers: AdaptableLayers) -> tuple[str, ...] | None:
        """Return the convolutions beside which the backbone wants a module to run."""
        return layers.paralleled

    def initialise(self, generator: Generator) -> None:
        """Draw all but the last convolution from ``generator``; the last is zero, so nothing is added yet."""
        self.bottleneck_down.draw(generator)
        self.bottleneck_depthwise.draw(generator)
        nn.init.zeros_(self.bottleneck_up.weight)
        if self.bottleneck_up.bias is not None:
            nn.init.zeros_(self.bottleneck_up.bias)

    def added_reach(self, layer: nn.Module) -> int:
        """Return 1 beside a 1x1 convolution, and 0 beside a 3x3 one, which sees as far."""
        return int(layer.kernel_size == (1, 1))

    def forward(self, features: Tensor, layer: nn.Module, scale: Scale) -> Tensor:
        """Return what is added to ``layer``'s output, (B, C_out, H, W), for ``features`` (B, C_in, H, W)."""
        hidden = _convolve(features, self.bottleneck_down)
        hidden = _convolve(hidden, self.bottleneck_depthwise, padding=1, groups=hidden.shape[1])
        return _convolve(functional.gelu(hidden), self.bottleneck_up) * scale

    def scaled_state(self, scale: float) -> dict[str, Tensor]:
        """Return the state dict of a part that adds ``scale`` times as much; its last layer is linear."""
        return {
            key: tensor * scale if key.startswith("bottleneck_up.") else tensor
            for key, tensor in self.state_dict().items()
        }


def _convolve(features: Tensor, weights: Weights, padding: int = 0, groups: int = 1) -> Tensor:
    weight = weights.weight.to(features.dtype)
    bias = None if weights.bias is None else weights.bias.to(features.dtype)
    return functional.conv2d(features, weight, bias, padding=padding, groups=groups)
