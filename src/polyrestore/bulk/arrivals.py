"""Files that arrive in folders while these are watched, each once it is complete."""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from polyrestore.bulk.files import FileJob, find_jobs
from polyrestore.errors import ImageError

# Whoever writes a file may pause, but seldom for longer; if so, the file is taken again when it has grown.
SECONDS_TO_SETTLE = 2.0
_LEAST_SECONDS = 0.5
_MOST_SECONDS = 60.0
_SHARE_OF_TIME = 0.05


class Arrivals:
    """What is in folders, looked at again and again.

    Folders are listed, which works on every system and on network drives too, where notices of changes do
    not come through. A file is complete when its size and its time of change have stayed the same for a
    while; an empty one never is. Hidden files, and those with the endings of other kinds such as ``.part``,
    are left out.

    Args:
        folders: to be watched.
        output_folder: where the results will be; never searched.
        recursive: whether folders within folders are searched.
        settle_s: how long a file has to stay the same.
        clock: returns the time in seconds.

    Attributes:
        left_out: the files of other kinds that were there when last looked, by ending.
        waiting: how many files were not complete then.

    Raises:
        ImageError: what is to be watched is no folder.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        output_folder: Path,
        *,
        recursive: bool,
        settle_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for folder in folders:
            if not os.path.isdir(folder):
                raise ImageError(f"only folders can be watched, and {folder} is none")
        self.left_out: Counter[str] = Counter()
        self.waiting = 0
        self._folders = folders
        self._output_folder = output_folder
        self._recursive = recursive
        self._settle_s = settle_s
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._cost_s = 0.0

    def take(self) -> list[FileJob]:
        """Look once, and return the files that are complete and were not taken as they are now.

        Raises:
            OutputError: a result would overwrite an input.
        """
        now = self._clock()
        self.left_out.clear()
        # One that is not there for a moment, because a drive is not, is looked for again.
        folders = [folder for folder in self._folders if os.path.isdir(folder)]
        found = find_jobs(
            folders, self._output_folder, recursive=self._recursive, left_out=self.left_out, none=True
        )
        seen: dict[str, _Seen] = {}
        taken = []
        for job in found:
            state = _state(job.input)
            if state is None:
                continue
            known = self._seen.get(job.input)
            if known is None or known.state != state:
                known = _Seen(state, now)
            seen[job.input] = known
            if not known.taken and state[0] and now - known.since >= self._settle_s:
                known.taken = True
                taken.append(job)
        self._seen = seen
        self.waiting = sum(not known.taken for known in seen.values())
        self._cost_s = self._clock() - now
        return taken

    def pause_s(self) -> float:
        """Return how long to wait before looking again: the longer, the longer it took."""
        return min(_MOST_SECONDS, max(_LEAST_SECONDS, self._cost_s / _SHARE_OF_TIME))


@dataclass(slots=True)
class _Seen:
    state: tuple[int, int]
    since: float
    taken: bool = False


def _state(path: str) -> tuple[int, int] | None:
    """Return a file's size and time of change; None of what is no file, or is gone already."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
