"""Networks, strategies and degradations of one's own, from a Python file that adds them to the registries."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from polyrestore.errors import PluginError


def load_plugin(path: Path) -> None:
    """Run a Python file, once per process, that adds to registries such as ``BACKBONES``.

    Only files that a user names are run: bundles and recipes cannot name any.

    Raises:
        PluginError: there is no such file, or it ends in an exception.
    """
    path = Path(path).resolve()
    # Workers and pickles find the module by its name.
    name = f"polyrestore_plugin_{path.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return
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
