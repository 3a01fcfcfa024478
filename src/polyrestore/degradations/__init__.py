"""Named corruptions of photographs, seeded and batched, and mixtures of them."""

from polyrestore.degradations.applying import degrade, degrade_batch, mix_regions
from polyrestore.degradations.base import Degradation
from polyrestore.degradations.mixtures import MIXTURES, Mixture, named_mixture
from polyrestore.degradations.registry import DEGRADATIONS, check_name, in_order

__all__ = [
    "DEGRADATIONS",
    "MIXTURES",
    "Degradation",
    "Mixture",
    "check_name",
    "degrade",
    "degrade_batch",
    "in_order",
    "mix_regions",
    "named_mixture",
]
