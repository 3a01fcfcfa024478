"""The strategies of the experiment with their options, and one repair of Art that is tried here only."""

from __future__ import annotations

import torch
from torch import Tensor

from polyrestore.training.weighting import WEIGHTINGS, Weighting, build_weighting
from polyrestore.training.weighting.art import Art

# By name in the tables: the strategy and its options. The window of DWA stands for an epoch; the default of
# 200 steps would leave it uniform for most of a run.
VARIANTS: dict[str, tuple[str, dict[str, float]]] = {
    "uniform": ("uniform", {}),
    "art": ("art", {}),
    "dwa": ("dwa", {"window_steps": 50}),
    "random": ("random", {}),
    "uncertainty": ("uncertainty", {}),
    "gradnorm": ("gradnorm", {}),
    "pcgrad": ("pcgrad", {}),
    "tur": ("tur", {}),
    "art T=0.5": ("art", {"temperature": 0.5}),
    "art T=2": ("art", {"temperature": 2.0}),
    "art forgetting": ("art", {"forgetting": 0.01}),
    "art smoothed": ("smoothed art", {}),
}
STRATEGIES = [name for name in VARIANTS if name in WEIGHTINGS]


class SmoothedArt(Art):
    """Art that looks at a short moving average of each task's loss instead of one mini-batch.

    The average and the best are kept of the same smoothed losses, so that no lucky batch fixes the best.
    """

    remembered = (*Art.remembered, "smooth")  # type: ignore[assignment]  # Art has two names

    def __init__(self, task_count: int, smoothing: float = 0.05, temperature: float = 0.1) -> None:
        super().__init__(task_count, temperature=temperature)
        self.smoothing = smoothing
        self.smooth = torch.full((task_count,), 0.1)

    def weights(self, losses: Tensor, present: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Return the softmax weights (K,) for the smoothed losses."""
        moved = self.smooth.lerp(losses.detach().float().cpu(), self.smoothing)
        self.smooth = torch.where(present.cpu(), moved, self.smooth)
        return super().weights(self.smooth, present)


def build_variant(name: str, task_count: int) -> Weighting:
    """Build a strategy by its name in the tables."""
    strategy, options = VARIANTS[name]
    if strategy == "smoothed art":
        return SmoothedArt(task_count, **options)
    return build_weighting(strategy, task_count, options)
