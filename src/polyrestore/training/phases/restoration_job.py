"""The jobs whose output is an image: pre-training a backbone, and training one adapter on a frozen one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import Parameter

from polyrestore.adapters import AdapterBank
from polyrestore.backbones import Backbone
from polyrestore.data import Batch, Source
from polyrestore.errors import TrainingError
from polyrestore.training.loop.job import Job, TaskLosses, losses_by_task
from polyrestore.training.loop.losses import LOSSES
from polyrestore.training.validation.crops import Validation


@dataclass
class RestorationJob(Job):
    """Train the parameters of a network that require gradients to undo degradations.

    Attributes:
        network: maps (B, 3, H, W) to (B, 3, H, W).
        source: training batches.
        validation: what to measure.
        bank: adapters, each sample goes through those of its own degradations; None where there are none.
        loss: name of the loss, see :data:`polyrestore.training.loop.losses.LOSSES`.
    """

    network: Backbone
    source: Source
    validation: Validation
    bank: AdapterBank | None = None
    loss: str = "l1"

    def __post_init__(self) -> None:
        self.tasks = self.source.tasks
        self.module = self.network
        # An adapter that no sample of a batch goes through has no gradient.
        self.sparse = self.bank is not None

    def moving(self) -> Mapping[str, Tensor]:
        """Return what the network itself says that training moves."""
        return self.network.moving_state()

    def shared_layer(self) -> Sequence[Parameter]:
        """Return the parameters of the network's last layer."""
        parameters = [each for each in self.network.output_layer().parameters() if each.requires_grad]
        if not parameters:
            name = self.network.description.name
            raise TrainingError(f"the last layer of {name!r} is frozen; choose another weighting")
        return parameters

    def shares(self) -> Tensor:
        """Return how much each task counts: as often as it is drawn."""
        shares = self.source.drawing_shares()
        return shares / shares.mean()

    def batch(self, step: int, rank: int) -> Batch:
        """Return the training batch of a step."""
        return self.source.batch(step, rank)

    def losses(self, module: nn.Module, batch: Batch) -> TaskLosses:
        """Return the sums over each task's samples of their mean pixel loss."""
        self.choose_adapters(batch)
        return self.by_task(module(batch.degraded), batch)

    def choose_adapters(self, batch: Batch) -> None:
        """Let each sample of a batch go through the adapters of its own degradations."""
        if self.bank is None:
            return
        acting = compositions(batch, self.source.names, self.bank.names)
        if all(weights == acting[0] for weights in acting):
            self.bank.activate(acting[0])
        else:
            self.bank.activate_per_sample(acting)

    def by_task(
        self, restored: Tensor, batch: Batch, scales: Tensor | None = None, extra: Tensor | None = None
    ) -> TaskLosses:
        """Compare restored images (B, 3, H, W) with a batch's clean ones, task by task."""
        error = LOSSES[self.loss](restored.float(), batch.clean)
        return losses_by_task(error, batch.task, len(self.tasks), scales=scales, extra=extra)

    def validate(self) -> dict[str, float]:
        """Return the PSNR in dB by task, and "mean"."""
        bank = self.bank

        def activate(degradations: tuple[str, ...]) -> None:
            if bank is not None:
                present = [name for name in degradations if name in bank.names]
                bank.activate(dict.fromkeys(present, 1 / max(1, len(present))))

        self.network.eval()
        try:
            return self.validation.measure(self.network, activate)
        finally:
            self.network.train()


def compositions(batch: Batch, names: Sequence[str], adapters: Collection[str]) -> list[dict[str, float]]:
    """Return the weights of the adapters for each sample of a batch.

    Where the batch does not say them, each sample's degradations have equal weights with a sum of 1.
    Degradations without an adapter are left out.

    Args:
        batch: the samples.
        names: the degradations that the batch's columns stand for.
        adapters: the names of the adapters that there are.
    """
    if batch.acting is not None:
        rows = [dict(zip(names, row, strict=True)) for row in batch.acting.tolist()]
        return [{name: row[name] for name in names if name in adapters and row[name]} for row in rows]
    found = [[names[i] for i in row.nonzero().flatten().tolist()] for row in batch.presence]
    present = [[name for name in sample if name in adapters] for sample in found]
    return [dict.fromkeys(sample, 1 / max(1, len(sample))) for sample in present]
