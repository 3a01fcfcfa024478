"""The one exception hierarchy of the package, and the wording of its messages.

A message says what was wrong, with which value, and what to do. The command line prints it as a single line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar


class PolyrestoreError(Exception):
    """Base of every error that this package raises on purpose.

    Attributes:
        code: what the error is about, for programs: the name of its class in small letters, such as
            ``missing_extra``. Messages may be reworded, codes keep their meaning.
    """

    code: ClassVar[str] = "polyrestore"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__.removesuffix("Error")).lower()


class ImageError(PolyrestoreError):
    """An image file is missing, unreadable, truncated, too large or of an unsupported kind."""


class NotAnImageError(ImageError):
    """A file is of no format that can be read."""


class ImageTooLargeError(ImageError):
    """An image has more pixels than the limit allows, or than the memory holds."""


class OutputError(PolyrestoreError):
    """A result cannot be written where it was asked for."""


class NotationError(PolyrestoreError):
    """A text is not written as it has to be: ``name=value``, or names separated by commas."""


class UnknownNameError(PolyrestoreError):
    """A name is not in the registry it was looked up in.

    What is raised also is an error of what was looked up: an unknown bundle is a ``BundleError`` too.
    """


class MissingExtraError(PolyrestoreError):
    """A library is needed that comes with an extra of this package, and is not installed.

    Attributes:
        purpose: what needs it.
        library: its name.
        extra: the extra to install: ``pip install 'polyrestore[extra]'``.
    """

    def __init__(self, purpose: str, library: str, extra: str) -> None:
        super().__init__(purpose, library, extra)
        self.purpose, self.library, self.extra = purpose, library, extra

    def __str__(self) -> str:
        return f"{self.purpose} needs {self.library}: pip install 'polyrestore[{self.extra}]'"


class DeviceError(PolyrestoreError):
    """A device is not there, or nothing here can run a network in the way that was asked for."""


class DeviceMemoryError(DeviceError):
    """What is to be done needs more memory than a device has free."""


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


class HubError(PolyrestoreError):
    """The Hugging Face hub does not give or take what was asked for; the message ends with the code.

    Attributes:
        reason: the message without the code.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason} [{self.code}]"


class HubChangedError(HubError):
    """The repository changed in between."""


class HubDamagedError(HubError):
    """A file is not the one that the hub announced."""


class HubDeniedError(HubError):
    """Access needs a token, or another one."""


class HubForeignError(HubError):
    """The repository holds something else."""


class HubIncompleteError(HubError):
    """The connection broke in the middle of a file."""


class HubNotFoundError(HubError):
    """There is no such repository, revision or file."""


class HubOfflineError(HubError):
    """The hub may not be asked, and the cache has nothing."""


class HubRefusedError(HubError):
    """The hub or its client answered with another error."""


class HubTimeoutError(HubError):
    """The hub did not answer in time."""


class HubTooLargeError(HubError):
    """A file is larger than such files are."""


class HubUnreachableError(HubError):
    """The hub cannot be reached, or is not well."""


class StorageError(PolyrestoreError):
    """A file behind a URL, or what is behind it at all, cannot be read, written or listed."""


class CheckpointError(PolyrestoreError):
    """A foreign checkpoint cannot be read, or belongs to no backbone that is known here."""


class PluginError(PolyrestoreError):
    """A Python file that should add to the registries is missing or fails."""


class ContractError(PolyrestoreError, AssertionError):
    """A network, adapter kind or degradation is not what others rely on, as a check has found."""


class RecipeError(PolyrestoreError):
    """A training recipe has an unknown key or a value that cannot be used."""


class DataError(PolyrestoreError):
    """Training or evaluation data are missing, empty or do not pair up."""


class ProtocolError(PolyrestoreError):
    """A metric is not defined for its images or its protocol."""


class MetricUnavailableError(ProtocolError):
    """A metric needs a library or weights that are not here; nothing is ever downloaded for it."""


class TrainingError(PolyrestoreError):
    """Training had to stop: a loss was not finite, or a checkpoint does not belong to the recipe."""


class ServiceError(PolyrestoreError):
    """The web page cannot be served in the way that was asked for."""


class StoppedError(PolyrestoreError):
    """Work ended early because the caller asked for it; what was finished is kept."""


class UnknownDegradationError(UnknownNameError, DegradationError):
    """No degradation or mixture has this name."""


class UnknownBackboneError(UnknownNameError, BackboneError):
    """No backbone has this name."""


class UnknownAdapterKindError(UnknownNameError, AdapterError):
    """No kind of adapter has this name."""


class UnknownRecogniserError(UnknownNameError, RecognitionError):
    """No kind of recogniser has this name."""


class UnknownBundleError(UnknownNameError, BundleError):
    """No shipped bundle has this name."""


class UnknownFormatError(UnknownNameError, OutputError):
    """No file format that can be written has this name."""


class UnknownRuntimeError(UnknownNameError, DeviceError):
    """No runtime, number format or quality has this name."""


class UnknownRecipeNameError(UnknownNameError, RecipeError):
    """A recipe names something that there is not."""


class UnknownProtocolError(UnknownNameError, ProtocolError):
    """No protocol has this name."""


class UnknownMetricError(UnknownNameError, ProtocolError):
    """No metric has this name."""


class UnknownDataNameError(UnknownNameError, DataError):
    """No layout, set or kind of image has this name."""


def unknown_name(
    kind: str, name: str, known: Iterable[str], error: type[UnknownNameError]
) -> UnknownNameError:
    """Return the error for ``name`` missing from a registry of ``kind``, with the nearest known names.

    Args:
        kind: what was looked up, in the singular ("degradation").
        name: the name that was asked for.
        known: every valid name.
        error: the class of errors about what was looked up.
    """
    # A registry knows of plugins that might have had the name, and fail.
    hint = getattr(known, "hint", "")
    return error(f"unknown {kind} {name!r}; {nearest_names(name, known)}{hint}")


@contextmanager
def needs_extra(purpose: str, extra: str) -> Iterator[None]:
    """Say which extra is missing where a block cannot import a library.

    Args:
        purpose: what needs the library, as the start of a sentence.
        extra: the extra of this package that brings it.

    Raises:
        MissingExtraError: the block raised an ImportError.
    """
    try:
        yield
    except ImportError as error:
        library = (error.name or "a library").partition(".")[0]
        raise MissingExtraError(purpose, library, extra) from error


def nearest_names(name: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for the closest of ``known``, or the list of all when none is close."""
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(choices)


def no_adapter(owner: str, name: str, known: Iterable[str]) -> AdapterError:
    """Return the error for an adapter that a bundle lacks, with the nearest one that it has."""
    choices = list(known)
    hint = nearest_names(name, choices) if choices else "it has none"
    return AdapterError(f"{owner} has no adapter {name!r}; {hint}")
