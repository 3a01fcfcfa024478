"""Fit the small networks of the shipped recogniser, and the prototypes, to features of a frozen trunk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from polyrestore.errors import TrainingError
from polyrestore.recognition import CLEAN
from polyrestore.recognition.encoder import EncoderRecogniser
from polyrestore.recognition.encoder.recogniser import Member
from polyrestore.training.recognition.features import FeatureSet

# Low enough for three degradations to be certain at once: their directions share one unit vector.
TEMPERATURE = 0.05
_REAL = "real:"

Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class Fit:
    """How the members are fitted.

    Attributes:
        epochs: how often every sample is seen.
        batch: samples a step.
        learning_rate: the largest, reached after a third of the steps.
        weight_decay: of AdamW.
        dropout: share of the features and of the hidden units that are left out.
        real_share: how much a sample of a labelled photograph counts compared with the others.
        severity_share: how much the error of the severities counts.
    """

    epochs: int = 16
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    dropout: float = 0.3
    real_share: float = 1.5
    severity_share: float = 2.0


@dataclass(frozen=True, eq=False)
class _Targets:
    """What is asked of every sample: presence and its weight, severity and where it is known; (M, K) each."""

    presence: Tensor
    weight: Tensor
    severity: Tensor
    known: Tensor


def fit_members(
    recogniser: EncoderRecogniser,
    found: FeatureSet,
    names: tuple[str, ...],
    how: Fit,
    seed: int,
    progress: Progress = lambda epoch, loss: None,
) -> dict[str, Tensor]:
    """Fit a recogniser's members to features and return the prototypes, one a name and one of "clean".

    Each member learns by itself, from its own start; a joint prototype's similarity is the mean of theirs.

    Args:
        recogniser: its statistics of the features and its members are changed, its trunk is not.
        found: features and labels.
        names: the degradations that get a prototype.
        how: the fit.
        seed: of all randomness.
        progress: told the number of each finished epoch, of all members, and its mean loss.

    Raises:
        TrainingError: there are fewer samples than one batch, or a loss is not finite.
    """
    if len(found) < how.batch:
        raise TrainingError(f"{len(found)} samples are fewer than one batch of {how.batch}")
    recogniser.centre.copy_(found.features.mean(0))
    # Through float16, in which they are stored.
    recogniser.spread.copy_((found.features.std(0) + 1e-3).half().float())
    recogniser.centre.copy_(recogniser.centre.half().float())
    features = recogniser.standardise(found.features)
    columns, estimated = found.columns(names), found.columns(recogniser.severities)
    share = torch.tensor([how.real_share if kind.startswith(_REAL) else 1.0 for kind in found.kinds])
    weight = found.certainty[:, columns] * share[:, None]
    known = (~found.severity[:, estimated].isnan()).float() * found.presence[:, estimated]
    severity = found.severity[:, estimated].nan_to_num(0.0)
    directions = []
    for index, member in enumerate(recogniser.members):
        generator = Generator().manual_seed(seed * 1000 + index)
        targets = _Targets(found.presence[:, columns], weight, severity, known)
        first = index * how.epochs

        def tell(epoch: int, loss: float, first: int = first) -> None:
            progress(first + epoch, loss)

        directions.append(_fit_one(member, features, targets, how, generator, tell))
    joint = torch.cat(directions, 1) / len(directions) ** 0.5
    return {name: direction.clone() for name, direction in zip((*names, CLEAN), joint, strict=True)}


def _fit_one(
    member: nn.Module,
    features: Tensor,
    targets: _Targets,
    how: Fit,
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """Fit one member and return its unit directions (K + 1, D), the last one that of "clean"."""
    assert isinstance(member, Member)
    _start(member, generator)
    shape = (targets.presence.shape[1] + 1, member.output.out_features)
    directions = nn.Parameter(torch.randn(shape, generator=generator) * 0.1)
    parameters = [*member.parameters(), directions]
    optimiser = torch.optim.AdamW(parameters, lr=how.learning_rate / 2, weight_decay=how.weight_decay)
    rounds = len(features) // how.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, how.learning_rate, total_steps=how.epochs * rounds + 1
    )
    # Dropout draws from the global numbers, which are given back as they were.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        for epoch in range(1, how.epochs + 1):
            total = 0.0
            order = torch.randperm(len(features), generator=generator)
            for start in range(0, rounds * how.batch, how.batch):
                rows = order[start : start + how.batch]
                vectors, strength = member(features[rows], how.dropout)
                similarities = vectors @ functional.normalize(directions, dim=1).T
                scores = (similarities[:, :-1] - similarities[:, -1:]) / TEMPERATURE
                entropy = functional.binary_cross_entropy_with_logits(
                    scores, targets.presence[rows], targets.weight[rows], reduction="sum"
                )
                error = (
                    (torch.sigmoid(strength) - targets.severity[rows]).square() * targets.known[rows]
                ).sum()
                loss = (entropy + how.severity_share * error) / len(rows)
                if not bool(torch.isfinite(loss)):
                    raise TrainingError("the loss of the recogniser is not finite; lower the learning rate")
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                total += float(loss.detach())
            progress(epoch, total / rounds)
    return functional.normalize(directions.detach(), dim=1)


def _start(member: Member, generator: Generator) -> None:
    """Draw a member's first weights as ``nn.Linear`` does, from a generator of our own."""
    with torch.no_grad():
        for layer in (member.hidden, member.output, member.severity):
            bound = layer.in_features**-0.5
            for parameter in (layer.weight, layer.bias):
                drawn = torch.rand(parameter.shape, generator=generator)
                parameter.copy_((drawn * 2 - 1) * bound)
