"""The one exception hierarchy of the package, and the wording of its messages.

A message says what was wrong, with which value, and what to do. The command line prints it as a single line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PolyrestoreError(Exception):
    """Base of every error that this package raises on purpose."""


class ImageError(PolyrestoreError):
    """An image file is missing, unreadable, truncated, too large or of an unsupported kind."""


class OutputError(PolyrestoreError):
    """A result cannot be written where it was asked for."""


class UnknownNameError(PolyrestoreError):
    """A name is not in the registry it was looked up in."""


class DegradationError(PolyrestoreError):
    """A degradation was given a severity or a parameter outside its range."""


class BackboneError(PolyrestoreError):
    """A backbone cannot be built, or was given an image that it cannot take."""


class AdapterError(PolyrestoreError):
    """An adapter does not fit its backbone, or holds values that cannot be used."""


class CompositionError(PolyrestoreError):
    """Composition weights are malformed: unknown adapters, negative or non-finite values, or a bad sum."""


class RecognitionError(PolyrestoreError):
    """An image encoder, its words or the recognition's settings are missing or cannot be used."""


class BundleError(PolyrestoreError):
    """A bundle is missing, incomplete, corrupt or of a newer format."""


class CheckpointError(PolyrestoreError):
    """A foreign checkpoint cannot be read, or belongs to no backbone that is known here."""


class PluginError(PolyrestoreError):
    """A Python file that should add to the registries is missing or fails."""


class RecipeError(PolyrestoreError):
    """A training recipe has an unknown key or a value that cannot be used."""


class DataError(PolyrestoreError):
    """Training or evaluation data are missing, empty or do not pair up."""


class TrainingError(PolyrestoreError):
    """Training had to stop: a loss was not finite, or a checkpoint does not belong to the recipe."""


class StoppedError(PolyrestoreError):
    """Work ended early because the caller asked for it; what was finished is kept."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Return the error for ``name`` missing from a registry of ``kind``, with the nearest known names.

    Args:
        kind: what was looked up, in the singular ("degradation").
        name: the name that was asked for.
        known: every valid name.
    """
    return UnknownNameError(f"unknown {kind} {name!r}; {nearest_names(name, known)}")


def nearest_names(name: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for the closest of ``known``, or the list of all when none is close."""
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(choices)
