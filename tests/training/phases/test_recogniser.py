from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from polyrestore.data import Batch, BatchSource, Synthesis
from polyrestore.recognition import CLEAN, build_recogniser, weigh
from polyrestore.training.phases.recogniser import (
    SETTINGS,
    PrototypeClassifier,
    RecogniserJob,
    damaged_copies,
    validation_samples,
)

NAMES = ("low_light", "noise", "jpeg")


def photographs(count: int = 4, side: int = 48) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(count, 3, 6, 6, generator=generator)
    large = functional.interpolate(small, size=(side, side), mode="bicubic").clamp(0, 1)
    return list((large * 255).byte())


def job(**synthesis: Any) -> RecogniserJob:
    torch.manual_seed(1)
    classifier = PrototypeClassifier(build_recogniser("network", width=8, dimension=16), len(NAMES) + 1)
    drawn = Synthesis(tasks=NAMES, severity=(0.7, 1.0), **synthesis)
    source = BatchSource(photographs(), drawn, batch_size=12, patch_px=48, zoom_out=1.0, seed=3)
    return RecogniserJob(classifier, source, NAMES, photographs(count=8))


class Told(torch.nn.Module):
    """A classifier whose similarities are given."""

    def __init__(self, similarities: Tensor) -> None:
        super().__init__()
        self.similarities = similarities

    def forward(self, image: Tensor) -> Tensor:
        return self.similarities


def test_every_degradation_is_compared_with_clean_by_itself() -> None:
    # Low light and noise are there and seen, JPEG is neither.
    presence = torch.tensor([[1.0, 1.0, 0.0]])
    batch = Batch(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), torch.tensor([1]), presence)
    found = job().losses(Told(torch.tensor([[0.6, 0.5, 0.1, 0.3]])), batch)
    margins = torch.tensor([0.3, 0.2, 0.2]) / SETTINGS.temperature
    assert float(found.sums[1]) == pytest.approx(float(functional.softplus(-margins).sum()), rel=1e-5)
    assert found.counts.tolist() == [0, 1, 0, 0]


def test_training_learns_what_is_there_alone_and_together() -> None:
    work = job(mixture_share=0.5, clean_share=0.25, region_share=0.0)
    optimiser = torch.optim.Adam(work.module.parameters(), 3e-3)

    def loss(step: int) -> Tensor:
        return work.losses(work.module, work.batch(step, 0)).sums.sum() / 12

    with torch.no_grad():
        before = sum(float(loss(step)) for step in range(1000, 1004))
    for step in range(160):
        optimiser.zero_grad()
        torch.autograd.backward(loss(step))
        optimiser.step()
    with torch.no_grad():
        after = sum(float(loss(step)) for step in range(1000, 1004))
    assert after < 0.5 * before
    assert set(work.validate()) == {
        *NAMES,
        CLEAN,
        "mean",
        "noise+jpeg",
        "low_light+noise",
        "low_light+noise+jpeg",
    }
    # What is kept recognises as the training did.
    image = work.samples["noise"][0]
    assert isinstance(work.module, PrototypeClassifier)
    embedding = work.module.recogniser.eval().embed(image)[0]
    kept = weigh(embedding, work.module.prototypes(work.tasks), SETTINGS)
    with torch.no_grad():
        expected = dict(zip(work.tasks, work.module(image)[0].tolist(), strict=True))
    assert kept.similarities == pytest.approx(expected, abs=1e-5)


def test_held_out_images_are_damaged_alone_and_together() -> None:
    images = photographs(count=8)
    samples = validation_samples(images, NAMES, seed=5)
    assert {name: len(each) for name, each in samples.items()} == {
        **dict.fromkeys((*NAMES, CLEAN), 8),
        **dict.fromkeys(("noise+jpeg", "low_light+noise", "low_light+noise+jpeg"), 2),
    }
    assert torch.equal(samples[CLEAN][0][0], images[0].float() / 255)
    again = damaged_copies(images[::4], "noise+jpeg", seed=5)
    assert all(torch.equal(a, b) for a, b in zip(samples["noise+jpeg"], again, strict=True))
    assert not torch.equal(samples["noise+jpeg"][0], samples["noise"][0])
