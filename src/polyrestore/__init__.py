"""Restore damaged photographs: recognise what is wrong, compose adapters, run one shared network.

The public names are loaded on first use, so that ``import polyrestore`` alone does not import torch:

    >>> import polyrestore
    >>> restorer = polyrestore.load()                # doctest: +SKIP
    >>> restored = restorer.restore("photo.jpg")     # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from polyrestore.errors import (
    AdapterError,
    BackboneError,
    BundleError,
    CheckpointError,
    CompositionError,
    DataError,
    DegradationError,
    ImageError,
    OutputError,
    PluginError,
    PolyrestoreError,
    RecipeError,
    RecognitionError,
    StoppedError,
    TrainingError,
    UnknownNameError,
)

if TYPE_CHECKING:
    from polyrestore.restoration.restored import Restored
    from polyrestore.restoration.restorer import Restorer, load

__version__ = "0.1.0"

__all__ = [
    "AdapterError",
    "BackboneError",
    "BundleError",
    "CheckpointError",
    "CompositionError",
    "DataError",
    "DegradationError",
    "ImageError",
    "OutputError",
    "PolyrestoreError",
    "PluginError",
    "RecipeError",
    "RecognitionError",
    "Restored",
    "Restorer",
    "StoppedError",
    "TrainingError",
    "UnknownNameError",
    "__version__",
    "load",
]

_LAZY = {
    "Restored": "polyrestore.restoration.restored",
    "Restorer": "polyrestore.restoration.restorer",
    "load": "polyrestore.restoration.restorer",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
