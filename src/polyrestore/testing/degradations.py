"""``check_degradation``: whether a degradation is what training, test sets and mixtures rely on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from polyrestore.degradations import DEGRADATIONS, Degradation, check_name, degrade
from polyrestore.degradations.base import DegradationFunction
from polyrestore.errors import ContractError, DegradationError, UnknownDegradationError, unknown_name
from polyrestore.testing.images import psnr_db, require, scene, seeded

_SIZES = ((1, 1), (1, 7), (40, 23))
_MILD, _SEVERE = 0.1, 1.0


def check_degradation(
    degradation: str | Degradation | DegradationFunction, *, least_fall_db: float = 1.0
) -> None:
    """Check that a degradation damages images as it is asked to, and does nothing else.

    It takes images of any size, and gives back as many of the same size, finite, in [0, 1] on average. All
    its chance comes from the generator: the same seed gives the same image. Each image of a batch has its own
    severity, and a severe one costs more than a mild one. What it is given stays as it was.

    Args:
        degradation: a name in :data:`polyrestore.degradations.DEGRADATIONS`, an entry that may not be there
            yet, or only its function.
        least_fall_db: by how many decibels the PSNR falls at least from severity 0.1 to severity 1.

    Raises:
        ContractError: something is not so; the message is one sentence about it.
        UnknownNameError: no degradation has this name.
    """
    with _registered(degradation) as entry:
        for height, width in _SIZES:
            _check_result(entry, height, width)
        _check_seed(entry)
        _check_input(entry)
        _check_severity(entry, least_fall_db)


@contextmanager
def _registered(degradation: str | Degradation | DegradationFunction) -> Iterator[Degradation]:
    if isinstance(degradation, str):
        if degradation not in DEGRADATIONS:
            raise unknown_name("degradation", degradation, DEGRADATIONS, UnknownDegradationError)
        yield DEGRADATIONS[degradation]
        return
    if not isinstance(degradation, Degradation):
        degradation = Degradation("checked", "scene", "", degradation)
    name = degradation.name
    try:
        check_name(name)
    except DegradationError as error:
        raise ContractError(str(error)) from error
    before = DEGRADATIONS.get(name, degradation)
    require(before is degradation, f"the name {name!r} is another degradation's already")
    there = name in DEGRADATIONS
    DEGRADATIONS[name] = degradation
    try:
        yield degradation
    finally:
        if not there:
            del DEGRADATIONS[name]


def _check_result(entry: Degradation, height: int, width: int) -> None:
    image = torch.rand((3, 3, height, width), generator=seeded(1))
    for severity in (0.0, _MILD, _SEVERE):
        damaged = entry.apply(image.clone(), torch.full((3,), severity), seeded(2))
        found = tuple(damaged.shape)
        require(
            found == tuple(image.shape),
            f"images of shape {tuple(image.shape)} must keep it, but become {found}",
        )
        require(damaged.dtype == torch.float32, f"images must stay float32, not become {damaged.dtype}")
        require(
            bool(torch.isfinite(damaged).all()),
            f"an image of {height}x{width} px gets values that are not finite at severity {severity:g}",
        )
        mean = float(damaged.mean())
        require(0 <= mean <= 1, f"images must stay in [0, 1], but values are {mean:.3g} on average")


def _check_seed(entry: Degradation) -> None:
    first, second = (degrade(scene(), {entry.name: 0.6}, seeded(3)) for _ in range(2))
    require(
        torch.equal(first, second),
        "the same seed gives another image the second time; draw from the generator that is passed alone",
    )


def _check_input(entry: Degradation) -> None:
    image, severity = scene(), torch.tensor([0.8, 0.4])
    given = image.clone(), severity.clone()
    entry.apply(image, severity, seeded())
    require(torch.equal(image, given[0]), "the images that are passed are changed in place")
    require(torch.equal(severity, given[1]), "the severities that are passed are changed in place")


def _check_severity(entry: Degradation, least_fall_db: float) -> None:
    """Mild and severe images of one batch, so that a severity for all of them is noticed too."""
    clean, mild, severe = _in_8_bits(scene(6)), 0.0, 0.0
    severities = torch.tensor([_MILD, _SEVERE] * 3)
    for seed in range(4):
        damaged = _in_8_bits(entry.apply(clean.clone(), severities, seeded(seed)))
        mild += psnr_db(damaged[0::2], clean[0::2]) / 4
        severe += psnr_db(damaged[1::2], clean[1::2]) / 4
    require(severe < float("inf"), "at severity 1 nothing is damaged")
    require(
        mild - severe >= least_fall_db,
        f"severity 1 must damage more than severity {_MILD:g}: the PSNR falls from {mild:.1f} "
        f"to {severe:.1f} dB, by less than {least_fall_db:g} dB",
    )


def _in_8_bits(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round() / 255
