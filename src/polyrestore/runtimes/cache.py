"""What a runtime keeps between processes: converted networks, and which runtime was fastest here.

All of it can be made again, so that nothing here ever fails: what cannot be read is made anew, and what
cannot be written is not kept.
"""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

from polyrestore.errors import PolyrestoreError
from polyrestore.files import read_bytes, write_bytes

CACHE_VARIABLE = "POLYRESTORE_CACHE"
"""Names the environment variable that names another folder than the user's own."""


def cache_folder() -> Path:
    """Return the folder that polyrestore keeps things in that it can make again; it need not be there."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given)
    from platformdirs import user_cache_path

    return user_cache_path("polyrestore", appauthor=False)


def read_parts(key: str) -> dict[str, bytes] | None:
    """Return what :func:`write_parts` kept under a key; None where nothing is, or it was damaged since."""
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(_place(key)))) as archive:
            # Each is compared with its checksum while it is read.
            return {name: archive.read(name) for name in archive.namelist()}
    except (OSError, ImportError, zipfile.BadZipFile, ValueError, EOFError, NotImplementedError):
        return None


def write_parts(key: str, parts: Mapping[str, bytes]) -> None:
    """Keep bytes by name under a key, a file name without its ending, in one file that is whole or absent."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, part in parts.items():
            archive.writestr(zipfile.ZipInfo(name), part)
    with contextlib.suppress(PolyrestoreError, OSError, ImportError):
        write_bytes(_place(key), content.getvalue())


def _place(key: str) -> Path:
    return cache_folder() / f"{key}.zip"
