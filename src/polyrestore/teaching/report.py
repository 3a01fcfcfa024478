"""What came of a lesson: how well the taught degradation is restored and recognised, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

PROTOCOL = "PSNR (dB), RGB, 8 bit, held-back pairs"


@dataclass(frozen=True)
class Effect:
    """What the new adapter does to images that do not show what it was taught.

    Attributes:
        images: how many were looked at.
        fires: on how many of them it acts.
        change_db: mean change of the PSNR of the blind results by that; those above 45 dB count as 45.
    """

    images: int
    fires: int
    change_db: float


@dataclass(frozen=True)
class TeachingReport:
    """The figures of a lesson; each PSNR is a mean over the held-back pairs.

    Attributes:
        name: of the degradation.
        bundle: folder of the user's bundle that can restore it now.
        made_by: what made the pairs; ``pairs`` where they were given.
        pairs: how many it was learned from.
        held_back: how many it was measured on.
        scenes: how many scenes there are in all.
        start: the adapter of the bundle that it started from; empty for none.
        steps: of training.
        best_step: the one that was kept.
        minutes: of training, on the clock.
        damaged: PSNR of the inputs.
        untaught: of what the bundle made of them before, blind.
        named: of what it makes of them now, with the degradation named.
        blind: of what it makes of them now, blind; None where the bundle recognises nothing.
        found: in how many of the held-back inputs it is recognised; None likewise.
        least_share: how probable it must be before the adapter acts; None likewise.
        supersedes: adapters that do not act beside it.
        least_change: by how many grey levels it must change an image to act on it; None likewise.
        others: by ``clean``, ``drawn`` or degradation, what it does to images that do not show it.
        notes: what the user should know, one sentence each.
    """

    name: str
    bundle: str
    made_by: str
    pairs: int
    held_back: int
    scenes: int
    start: str
    steps: int
    best_step: int
    minutes: float
    damaged: float
    untaught: float
    named: float
    blind: float | None = None
    found: int | None = None
    least_share: float | None = None
    supersedes: tuple[str, ...] = ()
    least_change: float | None = None
    others: Mapping[str, Effect] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def gain(self) -> float:
        """What was gained over the untaught bundle in dB, blind where the bundle recognises."""
        return (self.named if self.blind is None else self.blind) - self.untaught

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        return {
            **asdict(self),
            "supersedes": list(self.supersedes),
            "notes": list(self.notes),
            "gain": self.gain,
        }

    def to_record(self) -> dict[str, Any]:
        """Return what the adapter keeps of it: nothing that depends on the place."""
        content = self.to_dict()
        del content["bundle"], content["least_share"], content["supersedes"]
        return {"taught": content, "protocol": PROTOCOL}
