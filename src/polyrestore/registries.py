"""Dictionaries of what can be named; what is not there may come with an installed plugin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from polyrestore.errors import PluginError
from polyrestore.installed_plugins import complaints, is_loading, load_installed_plugins

V = TypeVar("V")


class Registry(dict[str, V]):
    """Entries by name.

    Installed plugins are loaded when a name is asked for that is not there, and not before: until then, and
    where entries are counted or iterated over, it is a plain dictionary.

    Raises:
        PluginError: an installed plugin gives a name that is taken. What a name means does not depend on
            which packages are installed.
    """

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name):
            return True
        load_installed_plugins()
        return super().__contains__(name)

    def __missing__(self, name: str) -> V:
        if name in self:
            return self[name]
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an entry, or ``default`` where there is none."""
        try:
            return self[name]
        except KeyError:
            return default

    def __setitem__(self, name: str, entry: V) -> None:
        if is_loading() and super().__contains__(name) and super().__getitem__(name) is not entry:
            raise PluginError(f"the name {name!r} is taken")
        super().__setitem__(name, entry)

    @property
    def hint(self) -> str:
        """Why a name may be missing: what is wrong with plugins that fail; empty where none does."""
        return "".join(f" ({complaint})" for complaint in complaints())

    def offered(self) -> Iterator[tuple[str, V]]:
        """Yield the entries by name, and after them those of plugins that are loaded only then."""
        known = list(self.items())
        yield from known
        load_installed_plugins()
        yield from list(self.items())[len(known) :]
