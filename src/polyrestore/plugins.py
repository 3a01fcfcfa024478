"""Networks, strategies and degradations of one's own, from a Python file that adds them to the registries.

Those of installed packages are in :mod:`polyrestore.installed_plugins`.
"""

from __future__ import annotations

import importlib.util
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from polyrestore.errors import PluginError

PLUGIN_PREFIX = "polyrestore_plugin_"
"""How the names of the modules begin that files of plugins become."""


def load_plugin(path: Path) -> ModuleType:
    """Run a Python file, once per process, that adds to registries such as ``BACKBONES``; return its module.

    Only files that a user names are run: bundles and recipes cannot name any.

    Raises:
        PluginError: there is no such file, or it ends in an exception.
    """
    path = Path(path).resolve()
    # Workers and pickles find the module by its name.
    name = f"{PLUGIN_PREFIX}{path.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    specification = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or specification is None or specification.loader is None:
        raise PluginError(f"no Python file {path} to load as a plugin")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginError(f"the plugin {path} fails: {type(error).__name__}: {error}") from error
    return module


def loaded_plugins() -> tuple[str, ...]:
    """Return the files that :func:`load_plugin` has run in this process, as absolute paths in that order."""
    plugins = [module for name, module in list(sys.modules.items()) if name.startswith(PLUGIN_PREFIX)]
    return tuple(str(module.__file__) for module in plugins)


class WithPlugins:
    """A value that pickles together with the plugins of this process, where its classes may come from.

    Whoever unpickles it, in a worker that was just started say, has run the same files before.

    Attributes:
        value: what is carried.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (loaded_plugins(), pickle.dumps(self.value))


def _unpickled(plugins: tuple[str, ...], content: bytes) -> WithPlugins:
    for path in plugins:
        load_plugin(Path(path))
    return WithPlugins(pickle.loads(content))
