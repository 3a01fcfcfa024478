"""Bundles: the folder on disk that holds a restorer, and the ones that come with the package."""

from polyrestore.bundles.bundle import Bundle, BundleInfo, MeasuredResult
from polyrestore.bundles.card import model_card
from polyrestore.bundles.loading import load_bundle
from polyrestore.bundles.manifest import FORMAT_VERSION, Manifest, read_manifest
from polyrestore.bundles.saving import save_bundle
from polyrestore.bundles.shipped import find_bundle, list_bundles, shipped_folder

__all__ = [
    "FORMAT_VERSION",
    "Bundle",
    "BundleInfo",
    "Manifest",
    "MeasuredResult",
    "find_bundle",
    "list_bundles",
    "load_bundle",
    "model_card",
    "read_manifest",
    "save_bundle",
    "shipped_folder",
]
