"""Metrics that compare the features of published networks; their weights must be on this machine already.

torchmetrics computes them, on the networks of torchvision. That library is none of this package's, since it
breaks installations without CUDA: where it is there and works, and the weights are, so are these metrics.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor

from polyrestore.errors import ProtocolError
from polyrestore.evaluation.metrics import Protocol, prepare

ALEXNET_FILE = "alexnet-owt-7be5be79.pth"
VGG16_FILE = "vgg16-397923af.pth"
_LEAST_PX = 64


def weights_folder() -> Path:
    """Return where torchvision looks for weights before it would download them."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def missing_for(file: str) -> str | None:
    """Return what a learned metric lacks here, in words; None where it lacks nothing.

    Args:
        file: the name of its weights in :func:`weights_folder`.
    """
    if importlib.util.find_spec("torchvision") is None:
        return "torchvision, which is not installed"
    if not (weights_folder() / file).is_file():
        return f"the weights {weights_folder() / file}, which are not there"
    return None


def lpips(image: Tensor, target: Tensor, protocol: Protocol) -> float:
    """Return the learned perceptual distance (Zhang et al., CVPR 2018) by AlexNet, 0 for equal images.

    Args:
        image: (3, H, W), RGB in [0, 1].
        target: the truth, of the same shape.
        protocol: what is rounded and cropped; colours are always compared.

    Raises:
        ProtocolError: the shapes differ, or the crop leaves less than 64 px.
    """
    return _distance(_lpips_network(), image, target, protocol)


def dists(image: Tensor, target: Tensor, protocol: Protocol) -> float:
    """Return the distance of structure and texture (Ding et al., TPAMI 2022) by VGG16, 0 for equal images.

    Arguments and errors are those of :func:`lpips`.
    """
    return _distance(_dists_network(), image, target, protocol)


def _distance(
    compare: Callable[[Tensor, Tensor], Tensor], image: Tensor, target: Tensor, protocol: Protocol
) -> float:
    first, second = prepare(image, target, replace(protocol, channels="rgb"))
    height, width = first.shape[-2:]
    if min(height, width) < _LEAST_PX:
        raise ProtocolError(f"learned metrics need at least {_LEAST_PX}x{_LEAST_PX} px, not {width}x{height}")
    with torch.inference_mode():
        return float(compare(first.float(), second.float()))


@cache
def _lpips_network() -> Callable[[Tensor, Tensor], Tensor]:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    metric = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)

    def compare(first: Tensor, second: Tensor) -> Tensor:
        metric.reset()
        metric.update(first, second)
        distance: Tensor = metric.compute()
        return distance

    return compare


def _dists_network() -> Callable[[Tensor, Tensor], Tensor]:
    from torchmetrics.functional.image.dists import deep_image_structure_and_texture_similarity

    return partial(deep_image_structure_and_texture_similarity, reduction="mean")
