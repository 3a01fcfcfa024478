"""What a run tells while it trains, for whoever shows it: a terminal, a web page, a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Started:
    """Training is about to make its first step.

    Attributes:
        name: what is trained, the recipe's name.
        first_step: number of steps that an earlier run had finished.
        steps: number of steps at which training ends.
        summary: one sentence for people: updates, parameters, effective batch and precision.
    """

    name: str
    first_step: int
    steps: int
    summary: str


@dataclass(frozen=True)
class Advanced:
    """A step is done.

    Attributes:
        step: number of finished steps.
    """

    step: int


@dataclass(frozen=True)
class Validated:
    """The validation images have been measured.

    Attributes:
        step: number of finished steps.
        figures: figures of merit by name.
    """

    step: int
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Noticed:
    """Something that the user should know, such as a damaged checkpoint that was passed over.

    Attributes:
        message: one sentence.
    """

    message: str


Event = Started | Advanced | Validated | Noticed
OnEvent = Callable[[Event], None]
StopWhen = Callable[[], bool]


def ignore(event: Event) -> None:
    """Take an event and tell nobody."""


def never() -> bool:
    """Say that training should go on."""
    return False
