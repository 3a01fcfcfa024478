"""Checks of composition weights: what a user or a recogniser asks for, before it reaches a network."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from polyrestore.errors import CompositionError, nearest_names


def checked_composition(weights: Mapping[str, float], known: Collection[str]) -> dict[str, float]:
    """Return the weights other than zero, in the order of adapter names.

    The order is fixed so that floating-point sums, and so the restored pixels, never depend on how the
    mapping was built.

    Args:
        weights: composition weight by adapter name.
        known: names of the adapters that there are.

    Raises:
        CompositionError: an unknown adapter, or a weight that is negative, not finite or not a number.
    """
    for name, weight in weights.items():
        if name not in known:
            raise CompositionError(f"unknown adapter {name!r}; {_suggestion(name, known)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise CompositionError(f"the weight of adapter {name!r} must be a number, not {weight!r}")
        if not math.isfinite(weight) or weight < 0:
            raise CompositionError(
                f"the weight of adapter {name!r} must be finite and at least 0, not {weight!r}"
            )
    return {name: float(weights[name]) for name in sorted(weights) if weights[name] != 0}


def checked_sample_weights(
    weights: Sequence[Mapping[str, float]], known: Collection[str]
) -> dict[str, Tensor]:
    """Return (B,) weights for every adapter that acts on any sample, in the order of adapter names.

    Args:
        weights: one composition per sample of the batch.
        known: names of the adapters that there are.

    Raises:
        CompositionError: as :func:`checked_composition`, or there is no sample.
    """
    if not weights:
        raise CompositionError("weights per sample need at least one sample")
    samples = [checked_composition(sample, known) for sample in weights]
    names = sorted({name for sample in samples for name in sample})
    return {name: torch.tensor([sample.get(name, 0.0) for sample in samples]) for name in names}


def _suggestion(name: str, known: Collection[str]) -> str:
    return nearest_names(name, known) if known else "there are no adapters"
