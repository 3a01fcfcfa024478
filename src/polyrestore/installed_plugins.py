"""Plugins of installed packages, which name them under the entry-point group ``polyrestore.plugins``.

An entry is a module that adds to registries when it is imported, as a file of ``--plugin`` does, or a
function in one that does so when it is called without arguments. Nothing of a package is imported until a
name is asked for that no registry has.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from polyrestore.files import sha256_of
from polyrestore.plugins import PLUGIN_PREFIX

GROUP = "polyrestore.plugins"


@dataclass(frozen=True)
class InstalledPlugin:
    """An entry of an installed package, after it was tried.

    Attributes:
        name: the entry's.
        package: the distribution that it comes with, and its version: "restoration-extras 1.2".
        value: what is loaded: a module, or a module and a function, "extras.plugin:register".
        error: why it cannot be used, as one line; None where it can.
    """

    name: str
    package: str
    value: str
    error: str | None = None

    @property
    def complaint(self) -> str:
        """What is wrong with it, as a sentence."""
        return f"the plugin {self.name!r} of {self.package} fails: {self.error}"


_lock = threading.RLock()
_tried: list[InstalledPlugin] = []
_state: dict[str, int | bool | None] = {"begun": False, "thread": None}


def load_installed_plugins() -> tuple[InstalledPlugin, ...]:
    """Load the plugins of all installed packages, once per process.

    One that fails is told by its ``error``, and keeps no other from being loaded.

    Returns:
        all of them, by name.
    """
    # Others wait until all are there; a plugin that looks for a name itself does not.
    with _lock:
        if not _state["begun"]:
            _state["begun"], _state["thread"] = True, threading.get_ident()
            try:
                for entry in sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value)):
                    _tried.append(_try(entry))
            finally:
                _state["thread"] = None
        return tuple(_tried)


def complaints() -> list[str]:
    """Return what is wrong with the plugins that were tried and fail, a sentence each."""
    return [plugin.complaint for plugin in _tried if plugin.error is not None]


def is_loading() -> bool:
    """Return whether an installed plugin is being loaded by this thread."""
    return _state["thread"] == threading.get_ident()


def _try(entry: EntryPoint) -> InstalledPlugin:
    package = "a package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    error = None
    try:
        loaded = entry.load()
        if entry.attr:
            loaded()
    # Whatever a stranger's module does, a command that does not need it goes on.
    except (Exception, SystemExit) as failure:
        error = " ".join(f"{type(failure).__name__}: {failure}".split())
    return InstalledPlugin(entry.name, package, entry.value, error)


def code_sha256(classes: Iterable[type]) -> list[str]:
    """Return hashes of the code of the packages that classes come from besides this one, sorted.

    Files that :func:`~polyrestore.plugins.load_plugin` has run do not count: whoever named them knows them.

    Returns:
        for each package, or module that is in none, the SHA-256 of the names and hashes of its Python files.
    """
    tops = {each.__module__.partition(".")[0] for each in classes}
    others = {top for top in tops if top != "polyrestore" and not top.startswith(PLUGIN_PREFIX)}
    places = {getattr(sys.modules.get(top), "__file__", None) for top in others}
    return sorted(_code_of(Path(place)) for place in places if place is not None)


def _code_of(place: Path) -> str:
    whole = place.name == "__init__.py"
    files = {path.relative_to(place.parent).as_posix(): path for path in place.parent.rglob("*.py")}
    digest = hashlib.sha256()
    for name, path in sorted(files.items()) if whole else [(place.name, place)]:
        digest.update(f"{name} {sha256_of(path)}\n".encode())
    return digest.hexdigest()
