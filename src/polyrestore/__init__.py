"""Restore damaged photographs: recognise what is wrong, compose adapters, run one shared network.

What is named here is public, and so are the errors in :mod:`polyrestore.errors`. The names are loaded on
first use, so that ``import polyrestore`` alone does not import torch:

    >>> import polyrestore
    >>> restorer = polyrestore.load()                # doctest: +SKIP
    >>> restored = restorer.restore("photo.jpg")     # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyrestore import errors
from polyrestore.errors import PolyrestoreError
from polyrestore.lazy import load_on_use

if TYPE_CHECKING:
    from polyrestore.adapters import Adapter, load_adapter, save_adapter
    from polyrestore.bundles import Bundle, import_checkpoint, list_bundles, load_bundle, save_bundle
    from polyrestore.degradations import degrade
    from polyrestore.imaging import read_image, write_image, write_pages
    from polyrestore.plugins import load_plugin
    from polyrestore.recognition import Recognition, RecognitionSettings
    from polyrestore.restoration.explanation import Explanation
    from polyrestore.restoration.opening import load
    from polyrestore.restoration.restored import Restored
    from polyrestore.restoration.restorer import Restorer
    from polyrestore.training.run import run_recipe

__version__ = "0.1.0"

__all__ = [
    "Adapter",
    "Bundle",
    "Explanation",
    "PolyrestoreError",
    "Recognition",
    "RecognitionSettings",
    "Restored",
    "Restorer",
    "__version__",
    "degrade",
    "errors",
    "import_checkpoint",
    "list_bundles",
    "load",
    "load_adapter",
    "load_bundle",
    "load_plugin",
    "read_image",
    "run_recipe",
    "save_adapter",
    "save_bundle",
    "write_image",
    "write_pages",
]

_PLACES = {
    "Adapter": "polyrestore.adapters",
    "Bundle": "polyrestore.bundles",
    "Explanation": "polyrestore.restoration.explanation",
    "Recognition": "polyrestore.recognition",
    "RecognitionSettings": "polyrestore.recognition",
    "Restored": "polyrestore.restoration.restored",
    "Restorer": "polyrestore.restoration.restorer",
    "degrade": "polyrestore.degradations",
    "import_checkpoint": "polyrestore.bundles",
    "list_bundles": "polyrestore.bundles",
    "load": "polyrestore.restoration.opening",
    "load_adapter": "polyrestore.adapters",
    "load_bundle": "polyrestore.bundles",
    "load_plugin": "polyrestore.plugins",
    "read_image": "polyrestore.imaging",
    "run_recipe": "polyrestore.training.run",
    "save_adapter": "polyrestore.adapters",
    "save_bundle": "polyrestore.bundles",
    "write_image": "polyrestore.imaging",
    "write_pages": "polyrestore.imaging",
}

if not TYPE_CHECKING:
    __getattr__ = load_on_use(__name__, _PLACES)


def __dir__() -> list[str]:
    return sorted(__all__)
