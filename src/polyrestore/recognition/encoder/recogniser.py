"""A recogniser on a pre-trained trunk: it sees the whole image, crops at full resolution, and statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.bounds import CHANNELS, MOST_BLOCKS, OfTheNetwork, WholeNumber, WholeNumbers
from polyrestore.recognition.base import BaseRecogniser, Reading
from polyrestore.recognition.encoder import statistics
from polyrestore.recognition.encoder.trunk import Trunk
from polyrestore.recognition.encoder.views import Views, look_at

TAPS = (0, 2, 4, 7, 10, 14)
# Standardised features beyond this tell nothing that was seen in training.
_LARGEST_FEATURE = 5.0
_LEAST_VARIANCE = 1e-12


class Member(nn.Module):
    """A small network from features to an embedding and to severities; several of them are averaged.

    Args:
        features: length of its input.
        hidden: width of its only hidden layer.
        dimension: length of its embedding.
        severities: how many degradations' severities it estimates.
    """

    def __init__(self, features: int, hidden: int, dimension: int, severities: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, hidden)
        self.output = nn.Linear(hidden, dimension)
        self.severity = nn.Linear(hidden, severities)

    def forward(self, features: Tensor, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return unit vectors (B, D) and severities (B, K) before the sigmoid, of features (B, F)."""
        inner = functional.gelu(self.hidden(functional.dropout(features, dropout, dropout > 0)))
        inner = functional.dropout(inner, dropout, dropout > 0)
        return functional.normalize(self.output(inner), dim=1), self.severity(inner)

    def units(self, features: Tensor) -> Tensor:
        """Return what the hidden layer makes of features (B, F)."""
        return functional.gelu(self.hidden(features))


class EncoderRecogniser(BaseRecogniser):
    """Embed images by what several blocks of a trunk pre-trained on photographs make of them.

    Every tapped block is pooled to its mean, deviation and maximum: of the whole image, and of the crops at
    full resolution, where these are averaged and their maximum is taken. The unit vectors of the members,
    side by side, are the embedding: its similarity to a prototype is the mean of theirs.

    Args:
        severities: the degradations whose severity is estimated.
        taps: the blocks of the trunk that are looked at.
        members: how many small networks are averaged.
        hidden: the width of each.
        dimension: the length of each one's embedding.
    """

    kind: ClassVar[str] = "encoder"
    bounds = {
        "severities": OfTheNetwork(),
        "taps": WholeNumbers(WholeNumber(0, MOST_BLOCKS), 1, MOST_BLOCKS),
        "members": WholeNumber(1, 64),
        "hidden": CHANNELS,
        "dimension": CHANNELS,
    }
    centre: Tensor
    spread: Tensor

    def __init__(
        self,
        severities: Sequence[str] = (),
        taps: Sequence[int] = TAPS,
        members: int = 3,
        hidden: int = 96,
        dimension: int = 32,
    ) -> None:
        super().__init__()
        self.options = {
            "severities": list(severities),
            "taps": list(taps),
            "members": members,
            "hidden": hidden,
            "dimension": dimension,
        }
        self.severities = tuple(severities)
        self.dimension = members * dimension
        self.detail_dimension = members * hidden
        self.trunk = Trunk(tuple(taps))
        length = 3 * 3 * sum(self.trunk.widths()) + statistics.COUNT
        self.register_buffer("centre", torch.zeros(length))
        self.register_buffer("spread", torch.ones(length))
        self.members = nn.ModuleList(
            Member(length, hidden, dimension, len(self.severities)) for _ in range(members)
        )

    def embed(self, image: Tensor) -> Tensor:
        """Return unit vectors (B, D) for whole images (B, 3, H, W), RGB in [0, 1]."""
        return self.embed_features(self.extract_features(image))

    def describe(self, image: Tensor) -> Tensor:
        """Return the embedding, and the members' hidden units as one unit vector, one after the other."""
        features = self.extract_features(image)
        return torch.cat([self.embed_features(features), self.detail_of(features)], 1)

    def read(self, image: Tensor) -> Reading:
        """Return the embedding of one image (1, 3, H, W), its detail and the estimated severities."""
        features = self.extract_features(image)
        severities = self.estimate_severities(features)[0].tolist()
        named = dict(zip(self.severities, severities, strict=True))
        return Reading(self.embed_features(features)[0], named, self.detail_of(features)[0])

    def extract_features(self, image: Tensor) -> Tensor:
        """Return the features (B, F) of whole images (B, 3, H, W), before they are standardised."""
        return torch.stack([self.extract_features_of(look_at(each[None].float())) for each in image])

    def standardise(self, features: Tensor) -> Tensor:
        """Bring features (B, F) to a mean of 0 and a deviation of 1 on the training set, within bounds."""
        scaled = (features - self.centre) / self.spread
        return scaled.clamp(-_LARGEST_FEATURE, _LARGEST_FEATURE)

    def embed_features(self, features: Tensor) -> Tensor:
        """Return unit vectors (B, D) of features (B, F), not standardised."""
        standardised = self.standardise(features)
        vectors = torch.cat([member(standardised)[0] for member in self.members], 1)
        return vectors.float() / math.sqrt(len(self.members))

    def detail_of(self, features: Tensor) -> Tensor:
        """Return the members' hidden units as unit vectors (B, H) of features (B, F), not standardised."""
        standardised = self.standardise(features)
        hidden = [member.units(standardised) for member in self.members if isinstance(member, Member)]
        return functional.normalize(torch.cat(hidden, 1).float(), dim=1)

    def estimate_severities(self, features: Tensor) -> Tensor:
        """Return severities (B, K) from 0 to 1 of features (B, F), not standardised."""
        standardised = self.standardise(features)
        return torch.sigmoid(torch.stack([member(standardised)[1] for member in self.members]).mean(0))

    def extract_features_of(self, views: Views) -> Tensor:
        """Return the features (F,) of one image's views, before they are standardised."""
        seen_whole, seen_crops = self._pool(views.whole)[0], self._pool(views.crops)
        return torch.cat([seen_whole, seen_crops.mean(0), seen_crops.amax(0), views.measured])

    def _pool(self, views: Tensor) -> Tensor:
        """Return the mean, deviation and maximum of every tapped channel: (N, 3 C) of (N, 3, h, w)."""
        # Depth-wise convolutions are twice as fast with the channels last.
        maps = self.trunk(views.contiguous(memory_format=torch.channels_last))
        pooled = []
        for each in maps:
            flat = each.flatten(2)
            # A deviation of exactly 0 has no gradient.
            deviation = (flat.var(2, unbiased=False) + _LEAST_VARIANCE).sqrt()
            pooled += [flat.mean(2), deviation, flat.amax(2)]
        return torch.cat(pooled, 1)
