"""What each option of a network may be: checked before anything is built, wherever the options come from."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from polyrestore.errors import nearest_names

MOST_CHANNELS = 4096
MOST_BLOCKS = 256
MOST_LEVELS = 6
MOST_HEADS = 256


class Bound(Protocol):
    """What a value has to be."""

    def allows(self, value: object) -> bool:
        """Return whether a value is within the bound."""

    def __str__(self) -> str:
        """Return what a value has to be, as the end of "must be ..."."""


@dataclass(frozen=True)
class WholeNumber:
    """A whole number between two others, both included."""

    least: int
    most: int

    def allows(self, value: object) -> bool:
        """Return whether a value is such a number; True and False are none."""
        return isinstance(value, int) and not isinstance(value, bool) and self.least <= value <= self.most

    def __str__(self) -> str:
        return f"a whole number from {self.least} to {self.most}"


@dataclass(frozen=True)
class WholeNumbers:
    """A list of whole numbers.

    Attributes:
        each: what each of them may be.
        fewest: how many there are at least.
        most: how many there are at most.
    """

    each: WholeNumber
    fewest: int
    most: int

    def allows(self, value: object) -> bool:
        """Return whether a value is such a list."""
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            return False
        return self.fewest <= len(value) <= self.most and all(self.each.allows(one) for one in value)

    def __str__(self) -> str:
        count = f"{self.fewest}" if self.fewest == self.most else f"{self.fewest} to {self.most}"
        return f"a list of {count} whole numbers from {self.each.least} to {self.each.most}"


@dataclass(frozen=True)
class Number:
    """A number between two others; of these only the upper one is included, unless ``closed``."""

    above: float
    most: float
    closed: bool = False

    def allows(self, value: object) -> bool:
        """Return whether a value is such a number; True and False are none."""
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            return False
        return (self.above <= value if self.closed else self.above < value) and value <= self.most

    def __str__(self) -> str:
        return f"a number {'from' if self.closed else 'above'} {self.above:g}, at most {self.most:g}"


@dataclass(frozen=True)
class Switch:
    """True or False."""

    def allows(self, value: object) -> bool:
        """Return whether a value is one of the two."""
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "true or false"


@dataclass(frozen=True)
class Text:
    """A text; which ones have a meaning, the network says."""

    def allows(self, value: object) -> bool:
        """Return whether a value is a text."""
        return isinstance(value, str)

    def __str__(self) -> str:
        return "a text"


@dataclass(frozen=True)
class OfTheNetwork:
    """Anything, until the network has seen what else is there: a time step, when the schedule is known."""

    def allows(self, value: object) -> bool:
        """Return True."""
        return True

    def __str__(self) -> str:
        return "what the network takes"


CHANNELS = WholeNumber(1, MOST_CHANNELS)
BLOCKS = WholeNumber(0, MOST_BLOCKS)
BLOCKS_BY_LEVEL = WholeNumbers(BLOCKS, 1, MOST_LEVELS)
HEADS = WholeNumber(1, MOST_HEADS)
CONTEXT_DIM = WholeNumber(1, MOST_CHANNELS)
LIMIT_PX = WholeNumber(0, 1_000_000)
SHUFFLE = WholeNumber(1, 8)


def check_options(bounds: Mapping[str, Bound], options: Mapping[str, object]) -> None:
    """Check options against their bounds; a network that states none takes what its constructor takes.

    Raises:
        ValueError: an option is unknown or out of bounds.
    """
    for name, value in options.items() if bounds else ():
        if name not in bounds:
            raise ValueError(f"there is no option {name!r}; {nearest_names(name, bounds)}")
        if not bounds[name].allows(value):
            raise ValueError(f"{name} must be {bounds[name]}, not {reprlib.repr(value)}")
