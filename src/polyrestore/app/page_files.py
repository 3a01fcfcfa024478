"""Where the page's files are."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

PAGE = Path(str(resources.files("polyrestore.app").joinpath("page")))
"""The folder with the page: HTML, style, modules and words."""

PHOTOGRAPHS = Path(str(resources.files("polyrestore.app").joinpath("photographs")))
"""The folder with the undamaged photographs of the examples."""
