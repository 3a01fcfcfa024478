"""``model.json`` as a file: found, read as JSON, and of a format that is known. Nothing heavy is imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from polyrestore.errors import BundleError
from polyrestore.files import read_text

FORMAT_VERSION = 1
MANIFEST_FILE = "model.json"


def read_manifest_file(folder: Path) -> dict[str, Any]:
    """Return the values of a bundle's ``model.json``, of which only the format is checked.

    Raises:
        BundleError: it is missing, damaged or of another format.
    """
    path = folder / MANIFEST_FILE
    if not folder.is_dir():
        raise BundleError(
            f"there is no bundle folder at {folder}; give the folder that holds {MANIFEST_FILE}"
        )
    try:
        raw = json.loads(read_text(path), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST_FILE}") from error
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is damaged: {error}; copy or download the bundle again") from error
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if isinstance(version, bool) or not isinstance(version, int):
        raise BundleError(f"{path} has no format_version; it is not a bundle's {MANIFEST_FILE}")
    if version > FORMAT_VERSION:
        raise BundleError(
            f"{path} has format version {version}, this polyrestore reads up to {FORMAT_VERSION}; "
            "update polyrestore"
        )
    if version < FORMAT_VERSION:
        raise BundleError(f"{path} has format version {version}, which does not exist; save the bundle again")
    return dict(raw)


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number that a bundle may hold")
