"""Severities as people write them: ``rain=0.6,jpeg=0.4``."""

from __future__ import annotations

import math
from collections.abc import Iterable

from polyrestore.errors import DegradationError, unknown_name

DEFAULT_SEVERITY = 0.5


def parse_severities(text: str, known: Iterable[str]) -> dict[str, float]:
    """Return the severity by degradation name; a name alone has the severity 0.5.

    Args:
        text: names separated by commas, each with or without ``=`` and a number from 0 to 1.
        known: the names of all degradations.

    Raises:
        UnknownNameError: a name is not among ``known``; the nearest one is suggested.
        DegradationError: there is no name, one is given twice, or a severity is no number from 0 to 1.
    """
    names = sorted(known)
    severities: dict[str, float] = {}
    for entry in (part.strip() for part in text.split(",")):
        if not entry:
            continue
        name, equals, value = (part.strip() for part in entry.partition("="))
        if name not in names:
            raise unknown_name("degradation", name, names)
        if name in severities:
            raise DegradationError(f"{name} is given twice in {text!r}")
        severities[name] = _severity(name, value) if equals else DEFAULT_SEVERITY
    if not severities:
        raise DegradationError("name at least one degradation, such as rain=0.6,jpeg=0.4")
    return severities


def _severity(name: str, value: str) -> float:
    try:
        severity = float(value)
    except ValueError:
        severity = math.nan
    if not 0 <= severity <= 1:
        raise DegradationError(f"the severity of {name} must be a number from 0 to 1, not {value!r}")
    return severity
