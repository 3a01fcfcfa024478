"""Images of one set restored by many compositions, each of which runs once on an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from polyrestore.evaluation.metrics import Protocol, mean_psnr, psnr
from polyrestore.evaluation.scores import Score, score_of
from polyrestore.evaluation.sets import EvaluationImage
from polyrestore.restoration.restorer import Restorer

_Run: TypeAlias = tuple[int, tuple[tuple[str, float], ...]]


class CompositionRuns:
    """What the network makes of the images of a set; a result is kept, as 8 bits, and not made again.

    Args:
        restorer: whose adapters are composed.
        samples: the images.
        protocol: how to compare them; one that rounds.
    """

    def __init__(self, restorer: Restorer, samples: Sequence[EvaluationImage], protocol: Protocol) -> None:
        self.restorer = restorer
        self.samples = samples
        self.protocol = protocol
        self._levels: dict[_Run, Tensor] = {}
        self._scores: dict[_Run, Score] = {}
        self._psnrs: dict[_Run, float] = {}

    def scores(self, compositions: Sequence[Mapping[str, float]]) -> list[Score]:
        """Return the score of every image restored by its own composition; an empty one changes nothing."""
        runs = self._restore(compositions)
        for run in runs:
            if run not in self._scores:
                self._scores[run] = self._score(run[0], self._levels[run])
        return [self._scores[run] for run in runs]

    def psnrs(self, weights: Mapping[str, float]) -> list[float]:
        """Return the PSNR of every image restored by one composition, in dB, without the slower SSIM."""
        return self.psnrs_each([weights] * len(self.samples))

    def psnrs_each(self, compositions: Sequence[Mapping[str, float]]) -> list[float]:
        """Return the PSNR of every image restored by its own composition, in dB."""
        runs = self._restore(compositions)
        for run in runs:
            if run not in self._psnrs:
                self._psnrs[run] = psnr(*self._compared(run[0], self._levels[run]), self.protocol)
        return [self._psnrs[run] for run in runs]

    def mean_psnr(self, weights: Mapping[str, float]) -> float:
        """Return the mean of :meth:`psnrs`."""
        return mean_psnr(self.psnrs(weights))

    def chain(self, orders: Sequence[tuple[str, ...]]) -> list[Score]:
        """Return the score of every image restored by its own adapters one after another."""
        scores: dict[int, Score] = {}
        for order in dict.fromkeys(orders):
            indices = [index for index, own in enumerate(orders) if own == order]
            pixels = [self.samples[index].degraded for index in indices]
            for name in order:
                pixels = self.restorer.apply(pixels, {name: 1.0})
            scores |= {
                index: self._score(index, _as_levels(image))
                for index, image in zip(indices, pixels, strict=True)
            }
        return [scores[index] for index in range(len(orders))]

    def _restore(self, compositions: Sequence[Mapping[str, float]]) -> list[_Run]:
        keys = [tuple(sorted((name, w) for name, w in weights.items() if w)) for weights in compositions]
        runs = list(enumerate(keys))
        for key in dict.fromkeys(keys):
            missing = [run for run in runs if run[1] == key and run not in self._levels]
            pixels = [self.samples[index].degraded for index, _ in missing]
            restored = self.restorer.apply(pixels, dict(key)) if key and pixels else pixels
            self._levels |= {run: _as_levels(image) for run, image in zip(missing, restored, strict=True)}
        return runs

    def _score(self, index: int, levels: Tensor) -> Score:
        return score_of(*self._compared(index, levels), self.protocol)

    def _compared(self, index: int, levels: Tensor) -> tuple[Tensor, Tensor]:
        return levels.float() / 255, self.samples[index].target


def _as_levels(pixels: Tensor) -> Tensor:
    return (pixels.cpu().clamp(0, 1) * 255).round().to(torch.uint8)
