"""What one optimiser step adds up."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyrestore.backbones import build_backbone
from polyrestore.data import Batch
from polyrestore.training.loop.control import RunControl
from polyrestore.training.loop.job import TaskLosses
from polyrestore.training.loop.train import train
from polyrestore.training.phases.restoration_job import RestorationJob
from polyrestore.training.recipes.data_table import DataTable
from polyrestore.training.recipes.recipe import OptimiserTable, PretrainingRecipe
from polyrestore.training.weighting import Weighting, build_weighting
from polyrestore.training.weighting.uniform import Uniform
from tests.support.networks import TINY
from tests.training.halves import NoValidation


@dataclass(frozen=True)
class Parts:
    """A batch of eight samples of some tasks, in so many parts."""

    parts: int
    tasks: tuple[str, ...] = ("noise",)
    shares: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    def drawing_shares(self) -> Tensor:
        return torch.tensor(self.shares or [1.0] * len(self.tasks))

    def batch(self, step: int, rank: int = 0) -> Batch:
        generator = torch.Generator().manual_seed(step // self.parts)
        clean = torch.rand((8, 3, 16, 16), generator=generator)
        degraded = (clean * 0.6 + 0.1).contiguous()
        size = 8 // self.parts
        part = slice(step % self.parts * size, step % self.parts * size + size)
        return Batch(
            degraded[part], clean[part], torch.arange(8)[part] % len(self.tasks), torch.zeros(size, 0)
        )


def trained(
    folder: Path,
    source: Parts,
    weighting: Weighting,
    job_class: type[RestorationJob] = RestorationJob,
    **optimiser: Any,
) -> Tensor:
    torch.manual_seed(0)
    backbone = build_backbone("compact", **TINY["compact"])
    recipe = PretrainingRecipe(
        phase="pretraining", name="parts", steps=4, precision="no",
        data=DataTable(clean=(Path("."),), validation=Path("."), batch_size=8 // source.parts),
        optimiser=OptimiserTable(warmup_steps=0, learning_rate=1e-3, **optimiser),
    )  # fmt: skip
    control = RunControl(folder, resume=False)
    train(job_class(backbone, source, NoValidation()), weighting, recipe, control, steps=4)
    return torch.cat([parameter.detach().flatten() for parameter in backbone.parameters()])


def test_accumulated_batches_count_as_one(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", Parts(1), Uniform(1))
    parts = trained(tmp_path / "parts", Parts(4), Uniform(1), accumulation=4)
    assert torch.allclose(whole, parts, atol=1e-5)


def test_weights_of_zero_leave_a_task_out(tmp_path: Path) -> None:
    class First(Uniform):
        def weights(self, losses: Tensor, present: Tensor, evidence: Tensor | None = None) -> Tensor:
            return torch.tensor([1.0, 0.0])

    class Emptied(RestorationJob):
        """Sees nothing of the second task's images."""

        def losses(self, module: nn.Module, batch: Batch) -> TaskLosses:
            mine = batch.task == 0
            kept = Batch(*(getattr(batch, name)[mine] for name in ("degraded", "clean", "task", "presence")))
            found = super().losses(module, kept)
            return TaskLosses(found.sums, found.counts)

    both = Parts(1, ("noise", "rain"))
    weighted = trained(tmp_path / "weighted", both, First(2))
    emptied = trained(tmp_path / "emptied", both, Uniform(2), job_class=Emptied)
    assert torch.allclose(weighted, emptied, atol=1e-5)


@pytest.mark.parametrize(("name", "same"), [("art", True), ("uniform", False)])
def test_art_gives_a_rare_task_the_weight_that_it_says(tmp_path: Path, name: str, same: bool) -> None:
    alike, unlike = (
        trained(tmp_path / str(often), Parts(1, ("haze", "rain"), (often, 1.0)), build_weighting(name, 2))
        for often in (1.0, 7.0)
    )
    assert torch.equal(alike, unlike) is same


def test_the_loss_of_extra_terms_is_added(tmp_path: Path) -> None:
    class Extra(RestorationJob):
        def losses(self, module: nn.Module, batch: Batch) -> TaskLosses:
            found = super().losses(module, batch)
            return TaskLosses(found.sums * 0, found.counts, extra=found.sums[0] / found.counts[0])

    plain = trained(tmp_path / "plain", Parts(1), Uniform(1))
    assert torch.allclose(
        plain, trained(tmp_path / "extra", Parts(1), Uniform(1), job_class=Extra), atol=1e-5
    )


@pytest.mark.parametrize(("clip", "same"), [(0.0, False), (1e9, True)])
def test_no_clipping_is_like_a_limit_that_nothing_reaches(tmp_path: Path, clip: float, same: bool) -> None:
    reference = trained(tmp_path / "reference", Parts(1), build_weighting("art", 1), clip_norm=1e9)
    clipped = trained(tmp_path / "clipped", Parts(1), build_weighting("art", 1), clip_norm=clip or 1e-9)
    free = trained(tmp_path / "free", Parts(1), build_weighting("art", 1), clip_norm=0.0)
    assert torch.equal(free, reference)
    assert torch.equal(clipped, reference) is same
