"""Strategies that balance the tasks' losses, by name."""

from polyrestore.training.weighting.base import Evidence, Weighting
from polyrestore.training.weighting.registry import WEIGHTINGS, build_weighting

__all__ = ["WEIGHTINGS", "Evidence", "Weighting", "build_weighting"]
