"""Bundles: the folder on disk that holds a restorer, and the ones that come with the package."""

from polyrestore.bundles.bundle import UNKNOWN_LICENCE, Bundle, BundleInfo, MeasuredResult
from polyrestore.bundles.card import model_card
from polyrestore.bundles.importing import Imported, import_checkpoint
from polyrestore.bundles.loading import load_bundle
from polyrestore.bundles.manifest import FORMAT_VERSION, Manifest, read_manifest
from polyrestore.bundles.routing import Routed, route_bundle
from polyrestore.bundles.saving import save_bundle
from polyrestore.bundles.shipped import find_bundle, list_bundles, shipped_folder

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
    "load_bundle",
    "model_card",
    "read_manifest",
    "route_bundle",
    "save_bundle",
    "shipped_folder",
]
