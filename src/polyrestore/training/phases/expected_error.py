"""A branch beside a network that says how large an error it expects, for strategies that weigh by it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polyrestore.backbones import Backbone
from polyrestore.data import Batch
from polyrestore.training.loop.job import TaskLosses
from polyrestore.training.phases.restoration_job import RestorationJob


class ExpectedError(nn.Module):
    """A network and, on its decoder's last features, two 3x3 convolutions with ELU and one with softplus.

    Args:
        network: what restores; it does not change, and whoever keeps it only has dropped the branch.
    """

    def __init__(self, network: Backbone) -> None:
        super().__init__()
        self.network = network
        width = network.output_layer().in_channels
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ELU(),
            nn.Conv2d(width, width, 3, padding=1), nn.ELU(),
            nn.Conv2d(width, 1, 3, padding=1), nn.Softplus(),
        )  # fmt: skip

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, 3, H, W) to restored images of that shape, and the mean of each one's map, (B,)."""
        features: list[Tensor] = []
        layer = self.network.output_layer()
        hook = layer.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
        try:
            restored = self.network(image)
        finally:
            hook.remove()
        return restored, self.branch(features[-1]).float().mean((1, 2, 3))


@dataclass
class ExpectedErrorJob(RestorationJob):
    """Train a network together with a branch that expects its errors."""

    def __post_init__(self) -> None:
        super().__post_init__()
        # Made from a seed of its own: the network is the same under every strategy.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.module = ExpectedError(self.network)

    def losses(self, module: nn.Module, batch: Batch) -> TaskLosses:
        """Return the losses by task and the expected errors."""
        self.choose_adapters(batch)
        restored, scales = module(batch.degraded)
        return self.by_task(restored, batch, scales=scales)
