"""What each of several workers is given: its share of the processor, and a device."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Share:
    """What one worker computes with.

    Attributes:
        threads: at least 1.
        device: name of the device; None where each worker finds the CPU by itself.
    """

    threads: int
    device: str | None = None


def make_shares(workers: int, cores: int, device: str | None, gpus: int = 0) -> list[Share]:
    """Return what each worker is given; threads are shared evenly, and so are GPUs.

    >>> make_shares(3, 8, None, gpus=2)
    [Share(threads=2, device='cuda:0'), Share(threads=2, device='cuda:1'), Share(threads=2, device='cuda:0')]

    Args:
        workers: how many there are.
        cores: for all of them together.
        device: what was asked for. A GPU with a number is everybody's; without one, the workers are spread
            over all of them, and so they are where None was asked for.
        gpus: how many there are.
    """
    spread = gpus > 0 and device in (None, "cuda")
    return [
        Share(max(1, cores // workers), f"cuda:{number % gpus}" if spread else device)
        for number in range(workers)
    ]


def count_gpus() -> int:
    """Return how many CUDA devices torch can use here."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def usable_cores() -> int:
    """Return how many threads this process may keep busy.

    These are the cores that it may run on, as far as a container's quota goes, and no more than torch would
    take, which counts physical cores and follows ``OMP_NUM_THREADS``.
    """
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:
        allowed = os.cpu_count() or 1
    return max(1, min(allowed, _quota_cores(Path("/sys/fs/cgroup/cpu.max")), torch.get_num_threads()))


def _quota_cores(path: Path) -> int:
    """Return how many cores a container may use; a very large number where there is no limit."""
    try:
        quota, period = path.read_text().split()
        return max(1, round(int(quota) / int(period)))
    except (OSError, ValueError):
        return 1 << 30


def fitting_workers(most: int, needed_bytes: int, free_bytes: int | None) -> int:
    """Return how many workers there is memory for: from 1 to ``most``.

    Args:
        most: how many there could be.
        needed_bytes: of memory, for one of them.
        free_bytes: for all of them; None where the system does not say.
    """
    by_memory = most if free_bytes is None else free_bytes // max(1, needed_bytes)
    return max(1, min(most, by_memory))
