"""How the files of a run begin, which says what each is; those in stores are asked for ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from polyrestore.bulk.files import FileJob
from polyrestore.errors import ImageError, StorageError
from polyrestore.imaging import read_start
from polyrestore.storage.urls import EMPTY, Store, is_url

_AT_ONCE = 32


def beginnings(jobs: Iterable[FileJob]) -> Iterator[tuple[FileJob, Callable[[], bytes]]]:
    """Yield each job with what returns the first bytes of its file, or raises why there are none.

    Args:
        jobs: in their order, which stays.
    """
    waiting: deque[tuple[FileJob, Callable[[], bytes]]] = deque()
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        for job in jobs:
            waiting.append((job, _asked(job, pool)))
            while waiting and (len(waiting) > _AT_ONCE or not is_url(waiting[0][0].input)):
                yield waiting.popleft()
        yield from waiting
    finally:
        pool.shutdown(cancel_futures=True)


def _asked(job: FileJob, pool: ThreadPoolExecutor) -> Callable[[], bytes]:
    if not is_url(job.input):
        return partial(read_start, job.input)
    if job.state == EMPTY:
        return partial(_whole, job.input, bytes)
    try:
        store = Store(job.input)
    except StorageError as error:
        return partial(_raise, error)
    start = pool.submit(store.start).result if store.many_at_once else store.start
    return partial(_whole, job.input, start)


def _whole(url: str, start: Callable[[], bytes]) -> bytes:
    content = start()
    if not content:
        raise ImageError(f"{url} is empty (zero bytes)")
    return content


def _raise(error: StorageError) -> bytes:
    raise error
