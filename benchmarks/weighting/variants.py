"""The strategies of the experiment with their options, and variants of Art that are tried here only."""

from __future__ import annotations

import torch
from torch import Tensor

from polyrestore.training.weighting import WEIGHTINGS, Weighting, build_weighting
from polyrestore.training.weighting.art import LARGEST_LOSS, SMALLEST_LOSS

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
    "art T=2 forgetting": ("art", {"temperature": 2.0, "forgetting": 0.01}),
    "art forgetting": ("art", {"forgetting": 0.01}),
    "art, no constants": ("repaired art", {}),
    "art, smoothed": ("repaired art", {"smoothing": 0.05}),
    "one at random": ("one at random", {}),
}
STRATEGIES = [name for name in VARIANTS if name in WEIGHTINGS]


class RepairedArt(Weighting):
    """Art without its starting constants, and if wished with losses smoothed over steps.

    The average and the best of a task start from its first loss instead of 0.1, and the average is a plain
    mean until that forgets faster: with 0.01 per step, 0.1 would be felt for hundreds of steps.

    Args:
        task_count: number of tasks K.
        smoothing: share of the new loss in the loss that is judged; 1 judges one mini-batch, as published.
        temperature: T.
        momentum: share of the new loss in the average in the long run.
    """

    remembered = ("smooth", "average", "best", "seen")

    def __init__(
        self, task_count: int, smoothing: float = 1.0, temperature: float = 0.1, momentum: float = 0.01
    ) -> None:
        super().__init__(task_count)
        self.smoothing, self.temperature, self.momentum = smoothing, temperature, momentum
        self.smooth, self.average, self.best = (torch.full((task_count,), 0.1) for _ in range(3))
        self.seen = torch.zeros(task_count)

    def weights(self, losses: Tensor, present: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Return the softmax weights (K,) for losses (K,), then update what is remembered."""
        losses = losses.detach().float().cpu().clamp(SMALLEST_LOSS, LARGEST_LOSS)
        present = present.cpu()
        judged = torch.where(self.seen > 0, self.smooth.lerp(losses, self.smoothing), losses)
        average = torch.where(self.seen > 0, self.average, losses)
        best = torch.where(self.seen > 0, self.best, losses)
        ratio = (judged / average) * (best.log10() / judged.log10())
        weights = torch.softmax(torch.where(present, ratio / self.temperature, float("-inf")), 0)
        self.seen += present
        rate = torch.clamp(1 / self.seen.clamp(min=1), min=self.momentum)
        self.smooth = torch.where(present, judged, self.smooth)
        self.average = torch.where(present, average + rate * (judged - average), self.average)
        self.best = torch.where(present, torch.minimum(best, judged), self.best)
        return weights


class OneAtRandom(Weighting):
    """All the weight on one present task, chosen blindly: what concentration costs without any judgement."""

    remembered = ("step",)

    def __init__(self, task_count: int) -> None:
        super().__init__(task_count)
        self.step = torch.zeros((), dtype=torch.int64)

    def weights(self, losses: Tensor, present: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Return weights (K,) of which one is 1; the losses do not matter."""
        generator = torch.Generator().manual_seed(int(self.step))
        self.step += 1
        draws = torch.rand(self.task_count, generator=generator) * present.cpu()
        return torch.nn.functional.one_hot(draws.argmax(), self.task_count).float()


def build_variant(name: str, task_count: int) -> Weighting:
    """Build a strategy by its name in the tables."""
    strategy, options = VARIANTS[name]
    if strategy == "repaired art":
        return RepairedArt(task_count, **options)
    if strategy == "one at random":
        return OneAtRandom(task_count)
    return build_weighting(strategy, task_count, options)
