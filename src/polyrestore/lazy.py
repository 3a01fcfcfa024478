"""Names of a package that are loaded on first use, so that importing it alone imports nothing heavy."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def load_on_use(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Return what a package's ``__getattr__`` has to be.

    Args:
        package: its ``__name__``.
        places: the module of each name.
    """

    def load(name: str) -> Any:
        if name in places:
            return getattr(importlib.import_module(places[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load
