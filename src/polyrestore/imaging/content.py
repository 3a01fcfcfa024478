"""An image file's bytes: read once, from regular files only, and recognised by how they begin."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from polyrestore.errors import ImageError
from polyrestore.imaging.formats.registry import find_format

# As many as the formats look at.
_START_BYTES = 64


def open_content(path: str | Path) -> BinaryIO:
    """Open a regular file to be read; whoever calls closes it.

    Raises:
        ImageError: the file is missing, no regular file, or cannot be opened.
    """
    path = Path(path)
    try:
        if path.is_dir():
            listed = os.access(path, os.R_OK | os.X_OK)
            kind = "a folder, not an image file" if listed else "a folder that cannot be listed"
            raise ImageError(f"{path} is {kind}")
        if not path.exists():
            raise ImageError(f"{path} does not exist")
        # Reading a pipe or a device could block for ever, and opening one as well.
        if not path.is_file():
            raise ImageError(f"{path} is not a regular file")
        stream = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise ImageError(f"{path} is not a regular file")
    return stream


def read_content(path: str | Path) -> bytes:
    """Return all bytes of a file.

    Raises:
        ImageError: the file is missing, empty, no regular file, or cannot be read.
    """
    return _read(Path(path), -1)


def read_start(path: str | Path) -> bytes:
    """Return the first bytes of a file, as many as :func:`sniff_format` looks at.

    Raises:
        ImageError: as in :func:`read_content`.
    """
    return _read(Path(path), _START_BYTES)


def sniff_format(content: bytes) -> str | None:
    """Return the format that the first bytes of a file announce, a key of ``FORMATS``, or None."""
    found = find_format(content)
    return None if found is None else found.name


def _read(path: Path, size: int) -> bytes:
    with open_content(path) as stream:
        try:
            content = stream.read(size)
        except OSError as error:
            raise _unreadable(path, error) from error
    if not content:
        raise ImageError(f"{path} is empty (zero bytes)")
    return content


def _unreadable(path: Path, error: OSError | ValueError) -> ImageError:
    return ImageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}")


def _open_without_waiting(path: str, flags: int) -> int:
    # The file may have become a pipe since it was looked at.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
