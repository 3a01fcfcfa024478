"""How the published sets lie on the disk, found by looking at the folder."""

from polyrestore.data.layouts.base import Layout, Part
from polyrestore.data.layouts.finding import FoundSet, find_sets
from polyrestore.data.layouts.registry import LAYOUTS

__all__ = ["LAYOUTS", "FoundSet", "Layout", "Part", "find_sets"]
