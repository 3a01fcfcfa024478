"""Restore damaged photographs: recognise what is wrong, compose adapters, run one shared network.

What is named here is public, and so are the errors in :mod:`polyrestore.errors`. The names are loaded on
first use, so that ``import polyrestore`` alone does not import torch:

    >>> import polyrestore
    >>> restorer = polyrestore.load()                # doctest: +SKIP
    >>> restored = restorer.restore("photo.jpg")     # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from polyrestore import errors
from polyrestore.errors import PolyrestoreError

if TYPE_CHECKING:
    from polyrestore.restoration.restored import Restored
    from polyrestore.restoration.restorer import Restorer, load

__version__ = "0.1.0"

__all__ = [
    "PolyrestoreError",
    "Restored",
    "Restorer",
    "__version__",
    "errors",
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
