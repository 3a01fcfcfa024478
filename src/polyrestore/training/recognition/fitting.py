"""Fit the small networks of the shipped recogniser, and the prototypes, to features of a frozen trunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
class Targets:
    """What is asked of B samples.

    Attributes:
        presence: (B, K) 1 where a degradation is there.
        weight: (B, K) how much an error about it counts.
        severity: (B, L) of the degradations whose severity is estimated; 0 where it is not known.
        known: (B, L) 1 where it is.
    """

    presence: Tensor
    weight: Tensor
    severity: Tensor
    known: Tensor

    def __getitem__(self, rows: Tensor) -> Targets:
        """Return what is asked of some of the samples."""
        return Targets(self.presence[rows], self.weight[rows], self.severity[rows], self.known[rows])


def targets_of(
    presence: Tensor,
    certainty: Tensor,
    severity: Tensor,
    kinds: Sequence[str],
    columns: Sequence[int],
    estimated: Sequence[int],
    real_share: float,
) -> Targets:
    """Return what is asked of B samples about N degradations.

    Args:
        presence: (B, N).
        certainty: (B, N).
        severity: (B, N), NaN where it is absent or unknown.
        kinds: how each sample was made.
        columns: places of the K degradations that get a prototype.
        estimated: places of the L whose severity is estimated.
        real_share: how much a sample of a labelled photograph counts compared with the others.
    """
    share = torch.tensor([real_share if kind.startswith(_REAL) else 1.0 for kind in kinds])
    known = ~severity[:, estimated].isnan()
    return Targets(
        presence[:, columns],
        certainty[:, columns] * share[:, None],
        severity[:, estimated].nan_to_num(0.0),
        known.float() * presence[:, estimated],
    )


def errors_of(
    vectors: Tensor, strength: Tensor, directions: Tensor, targets: Targets, severity_share: float
) -> Tensor:
    """Return one member's error on B samples, (B,).

    Args:
        vectors: (B, D) unit vectors.
        strength: (B, L) severities before the sigmoid.
        directions: (K + 1, D), the last one that of "clean"; their length does not count.
        targets: what is asked.
        severity_share: how much the error of the severities counts.
    """
    similarities = vectors @ functional.normalize(directions, dim=1).T
    scores = (similarities[:, :-1] - similarities[:, -1:]) / TEMPERATURE
    entropy = functional.binary_cross_entropy_with_logits(
        scores, targets.presence, targets.weight, reduction="none"
    )
    error = (torch.sigmoid(strength) - targets.severity).square() * targets.known
    return entropy.sum(1) + severity_share * error.sum(1)


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
    targets = targets_of(
        found.presence, found.certainty, found.severity, found.kinds, found.columns(names),
        found.columns(recogniser.severities), how.real_share,
    )  # fmt: skip
    directions = []
    for index, member in enumerate(recogniser.members):
        generator = Generator().manual_seed(seed * 1000 + index)
        first = index * how.epochs

        def tell(epoch: int, loss: float, first: int = first) -> None:
            progress(first + epoch, loss)

        directions.append(_fit_one(member, features, targets, how, generator, tell))
    return join_directions(directions, names)


def join_directions(directions: Sequence[Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """Return the prototypes of K names and of "clean": the members' unit vectors side by side, of length 1.

    Args:
        directions: (K + 1, D) of each member, the last row that of "clean".
        names: of the K degradations.
    """
    joint = torch.cat(list(directions), 1) / len(directions) ** 0.5
    return {name: direction.clone() for name, direction in zip((*names, CLEAN), joint, strict=True)}


def _fit_one(
    member: nn.Module,
    features: Tensor,
    targets: Targets,
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
                loss = errors_of(vectors, strength, directions, targets[rows], how.severity_share).mean()
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
