"""Whole-or-nothing file output: write to a temporary neighbour, then rename."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from polyrestore.errors import OutputError

TEMPORARY_MARK = ".part-"


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` that replaces it when the block ends without an error.

    The data are flushed to disk before the rename, so that ``target`` is whole or absent even after a crash.
    The temporary name keeps the target's ending, because encoders choose their format by it.

    Raises:
        OutputError: the folder cannot be made, or the file cannot be written (full disk, no permission).
    """
    temporary = target.with_name(f"{TEMPORARY_MARK}{secrets.token_hex(4)}-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {target}: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(target: Path, content: bytes) -> None:
    """Write ``content`` to ``target``, whole or not at all."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: Path, content: str) -> None:
    """Write ``content`` to ``target`` as UTF-8, whole or not at all."""
    write_bytes(target, content.encode("utf-8"))


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
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
