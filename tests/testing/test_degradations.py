from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from polyrestore.degradations import DEGRADATIONS, Degradation
from polyrestore.degradations.base import DegradationFunction
from polyrestore.errors import UnknownNameError
from polyrestore.testing import ContractError, check_degradation


def whiten(image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
    share = severity.view(-1, 1, 1, 1) * (0.5 + 0.5 * torch.rand((len(image), 1, 1, 1), generator=generator))
    return torch.lerp(image, torch.ones_like(image), share)


def from_the_global_generator(image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
    return image + severity.view(-1, 1, 1, 1) * torch.randn(image.shape)


def in_place(image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
    return image.add_(0.3 * severity.view(-1, 1, 1, 1))


def severities_in_place(image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
    return image + 0.3 * severity.mul_(0.5).view(-1, 1, 1, 1)


def cropped(image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
    return whiten(image, severity, generator)[..., 1:]


def in_levels(image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
    return whiten(image, severity, generator) * 255


def in_float64(image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
    return whiten(image, severity, generator).double()


def standardised(image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
    """Divide by a spread that images of one pixel do not have."""
    return whiten(image, severity, generator) / image.std((2, 3), correction=0, keepdim=True)


def the_same_for_all(image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
    return whiten(image, severity.mean().expand(len(image)), generator)


def nothing(image: Tensor, severity: Tensor, generator: Generator) -> Tensor:
    return image.clone()


def test_a_sound_one_passes_and_is_not_left_in_the_registry() -> None:
    before = dict(DEGRADATIONS)
    check_degradation(whiten)
    check_degradation(Degradation("glare", "lens", "light in the lens", whiten))
    check_degradation("noise")
    assert before == DEGRADATIONS


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (from_the_global_generator, "the same seed gives another image"),
        (in_place, "images that are passed are changed in place"),
        (severities_in_place, "severities that are passed are changed"),
        (cropped, "must keep it, but become"),
        (in_levels, r"must stay in \[0, 1\]"),
        (in_float64, "must stay float32"),
        (standardised, "not finite"),
        (the_same_for_all, "severity 1 must damage more than severity 0.1"),
        (nothing, "at severity 1 nothing is damaged"),
    ],
)
def test_what_is_not_sound_is_told(function: DegradationFunction, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        check_degradation(function)


def test_names_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'noise'"):
        check_degradation("noize")
    with pytest.raises(ContractError, match="'noise' is another degradation's already"):
        check_degradation(Degradation("noise", "lens", "", whiten))
    with pytest.raises(ContractError, match="'clean' cannot name a degradation"):
        check_degradation(Degradation("clean", "lens", "", whiten))
