"""The trunk: shapes of the published network, and batch normalisation folded in exactly."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from polyrestore.errors import RecognitionError
from polyrestore.recognition.encoder.trunk import Trunk, block_shapes, fold_published_weights


def published(taps: Sequence[int], seed: int = 0) -> dict[str, Tensor]:
    """Return random weights under the published names, with batch normalisation that is not the identity."""
    generator = torch.Generator().manual_seed(seed)
    found = {}

    def convolution(name: str, norm: str, out: int, inputs: int, kernel: int) -> None:
        found[f"{name}.weight"] = torch.randn(out, inputs, kernel, kernel, generator=generator) * 0.2
        for key in ("weight", "bias", "running_mean", "running_var"):
            found[f"{norm}.{key}"] = torch.rand(out, generator=generator) + 0.5

    convolution("_conv_stem", "_bn0", 32, 3, 3)
    for index, shape in enumerate(block_shapes()[: taps[-1] + 1]):
        wide, name = shape.channels_in * shape.expansion, f"_blocks.{index}."
        if shape.expansion > 1:
            convolution(f"{name}_expand_conv", f"{name}_bn0", wide, shape.channels_in, 1)
        convolution(f"{name}_depthwise_conv", f"{name}_bn1", wide, 1, shape.kernel_px)
        convolution(f"{name}_project_conv", f"{name}_bn2", shape.channels_out, wide, 1)
    return found


def normalise(found: dict[str, Tensor], norm: str, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (
        found[f"{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
    )
    return functional.batch_norm(x, mean, variance, weight, bias, eps=1e-3)


def test_folded_weights_do_what_convolution_and_normalisation_did() -> None:
    taps = (0,)
    found = published(taps)
    trunk = Trunk(taps).eval()
    trunk.load_state_dict(fold_published_weights(found, taps), strict=True)
    image = torch.rand(1, 3, 40, 64)
    with torch.no_grad():
        # An even side and a stride of 2: one row and one column are added, at the bottom and the right.
        x = functional.pad((image * 255 - 127) / 128, (0, 1, 0, 1))
        x = functional.relu6(
            normalise(found, "_bn0", functional.conv2d(x, found["_conv_stem.weight"], stride=2))
        )
        kernel = found["_blocks.0._depthwise_conv.weight"]
        x = functional.conv2d(x, kernel, padding=1, groups=32)
        x = functional.relu6(normalise(found, "_blocks.0._bn1", x))
        x = normalise(found, "_blocks.0._bn2", functional.conv2d(x, found["_blocks.0._project_conv.weight"]))
        assert torch.allclose(trunk(image)[0], x, atol=1e-3)


def test_blocks_halve_the_resolution_where_the_published_ones_do() -> None:
    taps = (0, 2, 4, 7, 10, 14)
    trunk = Trunk(taps).eval()
    with torch.no_grad():
        maps = trunk(torch.rand(1, 3, 64, 97))
    assert [each.shape[1] for each in maps] == trunk.widths() == [16, 24, 40, 80, 112, 192]
    assert [tuple(each.shape[2:]) for each in maps] == [(32, 49), (16, 25), (8, 13), (4, 7), (4, 7), (2, 4)]
    # The published 4.65 million less the last convolution, the classifier, and 42 thousand of normalisation.
    whole = sum(each.numel() for each in Trunk((15,)).parameters())
    assert whole == pytest.approx(4.652e6 - 1280 * (320 + 2) - 1000 * 1281, rel=0.01)


def test_a_missing_tensor_is_named() -> None:
    found = published((1,))
    del found["_blocks.1._project_conv.weight"]
    with pytest.raises(RecognitionError, match="_blocks.1._project_conv.weight"):
        fold_published_weights(found, (1,))
