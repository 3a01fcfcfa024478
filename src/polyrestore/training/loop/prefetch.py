"""Batches made ahead of time by processes of their own, in the order of the steps."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from torch.utils.data import DataLoader, Dataset

from polyrestore.data import Batch
from polyrestore.errors import PolyrestoreError
from polyrestore.training.loop.job import Job

# Forked processes share the photographs that were read; Python 3.14 would send each of them a copy.
# Elsewhere than on Linux forking is not safe, or not possible.
_CONTEXT = "fork" if sys.platform == "linux" else None


class _Batches(Dataset[Batch | PolyrestoreError]):
    """A job's batches by index; an error of the package is handed over whole instead of being raised here."""

    def __init__(self, job: Job, rank: int) -> None:
        self.job = job
        self.rank = rank

    def __getitem__(self, index: int) -> Batch | PolyrestoreError:
        try:
            return self.job.batch(index, self.rank)
        except PolyrestoreError as error:
            return error


def batches(job: Job, indices: range, rank: int, workers: int) -> Iterator[Batch]:
    """Yield a job's batches in order; the same ones for any number of workers.

    Args:
        job: makes the batches.
        indices: which ones.
        rank: of this process, where several train together.
        workers: processes that make batches while the network trains; 0 makes each one when it is needed.

    Raises:
        PolyrestoreError: what making a batch raises.
    """
    source = _Batches(job, rank)
    made: Iterator[Batch | PolyrestoreError]
    if workers == 0:
        made = map(source.__getitem__, indices)
    else:
        loader = DataLoader(
            source, batch_size=None, sampler=indices, num_workers=workers, multiprocessing_context=_CONTEXT
        )
        made = iter(loader)
    for batch in made:
        if isinstance(batch, PolyrestoreError):
            raise batch
        yield batch
