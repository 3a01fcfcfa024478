"""Whole-or-nothing file output: write to a temporary neighbour, then rename."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from polyrestore.errors import ImageError, OutputError

TEMPORARY_MARK = ".part-"
_LONGEST_ENDING = 16
_NOT_REGULAR = "not a regular file"


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` that replaces it when the block ends without an error.

    The data are flushed to disk before the rename, so that ``target`` is whole or absent even after a crash.

    Raises:
        OutputError: the folder cannot be made, or the file cannot be written (full disk, no permission).
    """
    token = secrets.token_hex(4)
    with staged_path(target, token) as temporary:
        yield temporary
    put_in_place(target, token)


def stage_bytes(target: Path, token: str, content: bytes) -> None:
    """Write ``content`` beside ``target`` and flush it, for :func:`put_in_place` to make it the file.

    Args:
        target: the file to be.
        token: begins with eight hexadecimal digits that no other file beside it has.
        content: its bytes.

    Raises:
        OutputError: the folder cannot be made, or the file cannot be written; nothing is left of it then.
    """
    with staged_path(target, token) as temporary:
        temporary.write_bytes(content)


def set_staged_times(target: Path, token: str, times_ns: tuple[int, int]) -> None:
    """Give the file that was staged with a token its times of access and change, in nanoseconds.

    Raises:
        OutputError: they cannot be set.
    """
    _set_times(staged_place(target, token), times_ns, target)


def read_times(path: Path) -> tuple[int, int]:
    """Return when a file was last read and changed, in nanoseconds.

    Raises:
        ImageError: it is not there.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    return found.st_atime_ns, found.st_mtime_ns


def set_times(target: Path, times_ns: tuple[int, int]) -> None:
    """Give a file its times of access and change, in nanoseconds.

    Raises:
        OutputError: they cannot be set.
    """
    _set_times(target, times_ns, target)


def _set_times(path: Path, times_ns: tuple[int, int], target: Path) -> None:
    try:
        os.utime(path, ns=times_ns)
    except OSError as error:
        raise _cannot_write(target, error) from error


def put_in_place(target: Path, token: str) -> None:
    """Let the file that was staged with a token become ``target``, in the place of one that is there.

    Raises:
        OutputError: it cannot; nothing is left of the staged file then.
    """
    try:
        os.replace(staged_place(target, token), target)
    except OSError as error:
        discard_staged(target, token)
        raise _cannot_write(target, error) from error


def discard_staged(target: Path, token: str) -> None:
    """Remove the file that was staged with a token, if it is there."""
    with contextlib.suppress(OSError):
        staged_place(target, token).unlink(missing_ok=True)


def discard_all_staged(folder: Path, token: str) -> None:
    """Remove all files in a folder that were staged with tokens that begin so."""
    with contextlib.suppress(OSError):
        for path in folder.glob(f"{TEMPORARY_MARK}{token}*"):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def staged_path(target: Path, token: str) -> Iterator[Path]:
    """Yield a path beside ``target`` to write to, for :func:`put_in_place` to make that the file.

    Args:
        target: the file to be.
        token: as for :func:`stage_bytes`.

    Raises:
        OutputError: the folder cannot be made, or the file cannot be written; nothing is left of it then.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield staged_place(target, token)
        with open(staged_place(target, token), "rb") as written:
            os.fsync(written.fileno())
    except BaseException as error:
        discard_staged(target, token)
        if isinstance(error, OSError):
            raise _cannot_write(target, error) from error
        raise


def staged_place(target: Path, token: str) -> Path:
    """Return where a file lies that was staged with a token."""
    # Encoders choose their format by the ending. The rest of a name as long as names can be has no room.
    ending = target.suffix if len(target.suffix) <= _LONGEST_ENDING else ""
    return target.with_name(f"{TEMPORARY_MARK}{token}{ending}")


def _cannot_write(target: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {target}: {error.strerror or error}")


def write_bytes(target: Path, content: bytes) -> None:
    """Write ``content`` to ``target``, whole or not at all."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: Path, content: str) -> None:
    """Write ``content`` to ``target`` as UTF-8, whole or not at all."""
    write_bytes(target, content.encode("utf-8"))


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file to be read; whoever calls closes it.

    Raises:
        OSError: it cannot be opened, or is a pipe, a socket, a device or a folder. Those are not opened:
            reading them could block for ever, and so could opening.
    """
    require_regular(path)
    stream = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, _NOT_REGULAR, str(path))
    return stream


def require_regular(path: str | Path) -> None:
    """Refuse what is no regular file, without opening it; for files that a library opens.

    Raises:
        OSError: it is missing, or a pipe, a socket, a device or a folder.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, _NOT_REGULAR, str(path))


def read_bytes(path: str | Path) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        OSError: as in :func:`open_regular`.
    """
    with open_regular(path) as stream:
        return stream.read()


def read_text(path: str | Path) -> str:
    """Return the text of a regular file in UTF-8, with the line ends of Python.

    Raises:
        OSError: as in :func:`open_regular`.
        UnicodeDecodeError: it is not UTF-8.
    """
    return io.StringIO(read_bytes(path).decode("utf-8"), newline=None).read()


def _open_without_waiting(path: str, flags: int) -> int:
    # The file may have become a pipe since it was looked at.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def lock_for_life(descriptor: int) -> bool:
    """Hold an open file alone until it is closed or the process ends, however it ends.

    Returns:
        False when another process holds it. Where the system has no such locks (they are POSIX's), True.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a regular file's bytes, in hexadecimal.

    Raises:
        OSError: as in :func:`open_regular`.
    """
    digest = hashlib.sha256()
    with open_regular(path) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
