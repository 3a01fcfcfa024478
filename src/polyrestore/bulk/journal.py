"""A text file that only grows, line by line, and an index of its lines that stays small."""

from __future__ import annotations

import contextlib
import os
import stat
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyrestore.errors import OutputError
from polyrestore.files import atomic_path, lock_for_life

_LONGEST_LINE = 1 << 24


class Journal:
    """An open file of lines, which only grows.

    Raises:
        OSError: the file cannot be opened for writing, or is a link or no regular file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()

    def _open(self) -> None:
        self._descriptor = _open_inside(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            # Apart from the other one, whose place in the file every line that is appended changes.
            self._reader = os.fdopen(_open_inside(self.path, os.O_RDONLY), "rb")
        except BaseException:
            os.close(self._descriptor)
            raise
        self._ends_a_line = False

    def close(self) -> None:
        """Close the file, and give up its lock."""
        if not self._reader.closed:
            self._reader.close()
            os.close(self._descriptor)

    def lock(self) -> bool:
        """Hold the file until the process ends, however it ends; False when another process holds it."""
        return lock_for_life(self._descriptor)

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield where each line begins, and its bytes; what is far too long for a line comes in pieces."""
        start = 0
        self._reader.seek(0)
        while line := self._reader.readline(_LONGEST_LINE):
            yield start, line
            start += len(line)
            self._reader.seek(start)

    def line_at(self, start: int) -> bytes:
        """Return the line that begins at a place."""
        self._reader.seek(start)
        return self._reader.readline(_LONGEST_LINE)

    def append(self, *lines: str, wait: bool = True) -> None:
        """Add lines of ASCII.

        Args:
            lines: without their ends.
            wait: return when they are on the disk.

        Raises:
            OutputError: they cannot be written.
        """
        content = "".join(f"{line}\n" for line in lines).encode("ascii")
        try:
            # A line must not be glued to the rest of one that was never finished.
            if not self._ends_a_line and self._last_byte() not in (b"", b"\n"):
                content = b"\n" + content
            self._ends_a_line = False
            self._write(content)
            if wait:
                os.fsync(self._descriptor)
            self._ends_a_line = True
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error

    def size_bytes(self) -> int:
        """Return how long the file is."""
        return os.fstat(self._descriptor).st_size

    def cut(self, size_bytes: int) -> None:
        """Forget the lines after the first so many bytes; where that fails they stay."""
        with contextlib.suppress(OSError):
            self._ends_a_line = False
            os.ftruncate(self._descriptor, size_bytes)

    def keep(self, wanted: Callable[[int], bool]) -> None:
        """Leave only the lines whose beginnings are wanted, all at once or not at all.

        Raises:
            OutputError: the lines cannot be written.
        """
        try:
            with atomic_path(self.path) as temporary:
                with open(temporary, "wb") as copy:
                    copy.writelines(line for start, line in self.lines() if wanted(start))
                # Some systems do not replace a file that is open.
                self.close()
        finally:
            self.close()
            self._open()

    def set_aside(self) -> Path:
        """Copy the file as it is to a free name beside it, and return that.

        Raises:
            OSError: it cannot be copied.
        """
        name, number = self.path.name.lstrip("."), 1
        stem, dot, ending = name.partition(".")
        while os.path.lexists(target := self.path.with_name(f"{stem}-damaged-{number}{dot}{ending}")):
            number += 1
        with open(target, "xb") as copy:
            copy.writelines(line for _, line in self.lines())
        return target

    def _last_byte(self) -> bytes:
        size = self._reader.seek(0, os.SEEK_END)
        self._reader.seek(max(size - 1, 0))
        return self._reader.read(1)

    def _write(self, content: bytes) -> None:
        while content:
            content = content[os.write(self._descriptor, content) :]


class LastLines:
    """Where, for each of many names, the last line about it begins: 16 bytes a name, however long it is.

    Names are kept as 64-bit hashes. That two of them share one is all but impossible.

    Args:
        found: names, and where the lines about them begin, in the order of the lines.
    """

    def __init__(self, found: Iterable[tuple[str, int]]) -> None:
        hashes, starts = array("q"), array("q")
        for name, start in found:
            hashes.append(hash(name))
            starts.append(start)
        backwards = np.array(hashes, np.int64)[::-1]
        self._hashes, places = np.unique(backwards, return_index=True)
        self._starts = np.array(starts, np.int64)[::-1][places]

    def __len__(self) -> int:
        return len(self._hashes)

    def find(self, name: str) -> int | None:
        """Return where the last line about a name begins; None where there is none."""
        place = int(np.searchsorted(self._hashes, hash(name)))
        if place == len(self) or self._hashes[place] != hash(name):
            return None
        return int(self._starts[place])

    @cached_property
    def _sorted_starts(self) -> NDArray[np.int64]:
        return np.sort(self._starts)

    def holds(self, start: int) -> bool:
        """Say whether the line that begins at a place is the last one about its name."""
        place = int(np.searchsorted(self._sorted_starts, start))
        return place < len(self) and bool(self._sorted_starts[place] == start)


def _open_inside(path: Path, flags: int) -> int:
    # Following a link here would write outside the output folder, and opening a pipe could wait for ever.
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a regular file")
    return descriptor
