"""Which files are videos, and in which kinds of file results are written; nothing heavy is imported here."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import PurePath

from polyrestore.errors import MissingExtraError, OutputError
from polyrestore.imaging import sniff_format

WRITABLE: dict[str, str] = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
}
"""FFmpeg's name of the container, by the ending of a result."""

WRITTEN_AS = ".mkv"
"""The ending of results whose inputs are of a kind that is not written: what holds every codec."""

_READ_ONLY = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m2v", ".mpeg", ".mpg", ".ogv", ".vob", ".wmv", ".mxf"}
)

VIDEO_SUFFIXES: frozenset[str] = frozenset(WRITABLE) | _READ_ONLY
"""The endings by which folders are searched for videos."""

# Other kinds of file have these endings too, so that only files that are named are taken for videos by them.
_NAMED_SUFFIXES = VIDEO_SUFFIXES | {".ts", ".mts"}
_BEGINNINGS = (b"\x1aE\xdf\xa3", b"FLV\x01", b"0&\xb2u\x8ef\xcf\x11", b"\x00\x00\x01\xba", b"\x06\x0e+4")


def is_video(name: str | PurePath, start: bytes) -> bool:
    """Return whether a file is to be read as a video: by its first bytes, or else by its ending.

    Args:
        name: of the file.
        start: its first bytes, 64 at least where there are as many.
    """
    if sniff_format(start) is not None:
        return False
    if start.startswith(_BEGINNINGS) or (start[:4] == b"RIFF" and start[8:12] == b"AVI "):
        return True
    return start[4:8] in (b"ftyp", b"moov") or PurePath(name).suffix.lower() in _NAMED_SUFFIXES


def named_for_video(output: PurePath) -> PurePath:
    """Return the name of a video's result: the same, or with the ending of what it is written in."""
    return output if output.suffix.lower() in WRITABLE else output.with_suffix(WRITTEN_AS)


def container_of(output: PurePath) -> str:
    """Return FFmpeg's name of the container that a result is written in.

    Raises:
        OutputError: no video is written with this ending.
    """
    suffix = output.suffix.lower()
    if suffix not in WRITABLE:
        raise OutputError(
            f"videos are not written as {suffix or 'a file without an ending'}; use {_endings()}"
        )
    return WRITABLE[suffix]


def is_installed() -> bool:
    """Return whether the library that reads videos is there."""
    return find_spec("av") is not None


def require_installed(name: object) -> None:
    """Refuse a video where the library that reads it is not there.

    Raises:
        MissingExtraError: PyAV is not installed.
    """
    if not is_installed():
        raise MissingExtraError(f"{name}: restoring a video", "PyAV", "video")


def _endings() -> str:
    *others, last = WRITABLE
    return f"{', '.join(others)} or {last}"
