"""The compositions that people write down: ``rain,noise`` or ``rain=0.7,noise=0.3``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from polyrestore.errors import CompositionError, nearest_names
from polyrestore.notation import read_names

# Decimal shares such as 0.7 + 0.2 + 0.1 do not add up to exactly 1 in binary.
_TOLERANCE = 1e-6


def named_composition(
    text: str | Mapping[str, float], known: Iterable[str], *, full: bool = False
) -> dict[str, float]:
    """Return the composition that a user asked for.

    Names without weights share the whole equally: ``rain,noise`` is ``rain=0.5,noise=0.5``, or, where
    adapters act in full, ``rain=1,noise=1``.

    Args:
        text: adapter names separated by commas, all with a weight (``rain=0.7``) or none; or a mapping.
        known: the adapters that the bundle has.
        full: each weight may reach 1, because the adapters were trained so; otherwise their sum may.

    Raises:
        NotationError: the text is not of that form, or has a name twice.
        CompositionError: no name or an unknown one, weights for some names only, a weight that is negative or
            not a number, or weights that add up to nothing or are too large.
    """
    choices = sorted(known)
    weights = (
        _parse(text, full) if isinstance(text, str) else {name: _number(name, text[name]) for name in text}
    )
    if not choices:
        raise CompositionError("the bundle has no adapters to name; leave the composition out")
    if not weights:
        raise CompositionError("name at least one adapter, such as " + ", ".join(choices[:3]))
    _require_known(weights, choices)
    for name, weight in weights.items():
        if not math.isfinite(weight) or weight < 0:
            raise CompositionError(f"the weight of {name!r} must be a number of at least 0, not {weight:g}")
    total = sum(weights.values())
    if full and (total == 0 or max(weights.values()) > 1):
        raise CompositionError("with this bundle each weight must be at most 1, and one of them above 0")
    if not full and not 0 < total <= 1 + _TOLERANCE:
        raise CompositionError(f"the weights add up to {total:g}; they must add up to above 0 and at most 1")
    return weights


def require_named(text: str, known: Iterable[str]) -> None:
    """Refuse a composition that is written wrongly or names an adapter that is not there.

    How its weights add up is left to :func:`named_composition`.

    Raises:
        NotationError: the text is not of the form, or has a name twice.
        CompositionError: an unknown name, or weights for some names only.
    """
    _require_known(_parse(text, full=False), sorted(known))


def _require_known(names: Iterable[str], choices: list[str]) -> None:
    for name in names:
        if name not in choices:
            raise CompositionError(f"the bundle has no adapter {name!r}; {nearest_names(name, choices)}")


def _parse(text: str, full: bool) -> dict[str, float]:
    written = read_names(text)
    weighted = [name for name, value in written.items() if value is not None]
    if weighted and len(weighted) < len(written):
        raise CompositionError(f"give a weight to every name in {text!r}, or to none")
    if not weighted:
        return dict.fromkeys(written, 1.0 if full else 1 / max(1, len(written)))
    return {name: _number(name, value) for name, value in written.items()}


def _number(name: str, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise CompositionError(f"the weight of {name!r} must be a number, not {value!r}") from None
