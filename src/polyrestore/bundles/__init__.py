"""Bundles: the folder on disk that holds a restorer, and the ones that come with the package.

The names are loaded on first use: whether there is a bundle of a name is known before torch is.
"""

from typing import TYPE_CHECKING

from polyrestore.lazy import load_on_use

if TYPE_CHECKING:
    from polyrestore.bundles.bundle import UNKNOWN_LICENCE, Bundle, BundleInfo, MeasuredResult
    from polyrestore.bundles.card import model_card
    from polyrestore.bundles.hub_bundles import pin_bundle
    from polyrestore.bundles.importing import Imported, import_checkpoint
    from polyrestore.bundles.loading import load_bundle
    from polyrestore.bundles.manifest import Manifest, read_manifest
    from polyrestore.bundles.manifest_file import FORMAT_VERSION
    from polyrestore.bundles.routing import Routed, route_bundle
    from polyrestore.bundles.saving import save_bundle
    from polyrestore.bundles.shipped import find_bundle, list_bundles, listed_adapters, shipped_folder

__all__ = [
    "FORMAT_VERSION",
    "UNKNOWN_LICENCE",
    "Bundle",
    "BundleInfo",
    "Imported",
    "Manifest",
    "MeasuredResult",
    "Routed",
    "find_bundle",
    "import_checkpoint",
    "list_bundles",
    "listed_adapters",
    "load_bundle",
    "model_card",
    "pin_bundle",
    "read_manifest",
    "route_bundle",
    "save_bundle",
    "shipped_folder",
]

_PLACES = {
    "FORMAT_VERSION": "polyrestore.bundles.manifest_file",
    "UNKNOWN_LICENCE": "polyrestore.bundles.bundle",
    "Bundle": "polyrestore.bundles.bundle",
    "BundleInfo": "polyrestore.bundles.bundle",
    "Imported": "polyrestore.bundles.importing",
    "Manifest": "polyrestore.bundles.manifest",
    "MeasuredResult": "polyrestore.bundles.bundle",
    "Routed": "polyrestore.bundles.routing",
    "find_bundle": "polyrestore.bundles.shipped",
    "import_checkpoint": "polyrestore.bundles.importing",
    "list_bundles": "polyrestore.bundles.shipped",
    "listed_adapters": "polyrestore.bundles.shipped",
    "load_bundle": "polyrestore.bundles.loading",
    "model_card": "polyrestore.bundles.card",
    "pin_bundle": "polyrestore.bundles.hub_bundles",
    "read_manifest": "polyrestore.bundles.manifest",
    "route_bundle": "polyrestore.bundles.routing",
    "save_bundle": "polyrestore.bundles.saving",
    "shipped_folder": "polyrestore.bundles.shipped",
}

if not TYPE_CHECKING:
    __getattr__ = load_on_use(__name__, _PLACES)
