"""The device to compute on: whether it is there, how much memory it has left, and whether that ran out."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from polyrestore.errors import BackboneError, PolyrestoreError


def usable_device(device: str | torch.device | None) -> torch.device:
    """Return the device to compute on; None takes a GPU where there is one.

    Raises:
        PolyrestoreError: the name is malformed, or there is no such device here.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise PolyrestoreError(f"device {str(device)!r} cannot be used ({reason}); try 'cpu'") from error
    return chosen


def available_bytes(device: torch.device) -> int | None:
    """Return how much memory a device has left; None when the system does not say.

    On the CPU: what can be had without swapping, within the limit of a container where there is one.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    found = [value for value in (_free_of_system(), _free_of_container()) if value is not None]
    return min(found, default=None)


def require_memory(needed_bytes: int, device: torch.device, purpose: str) -> None:
    """Refuse what cannot fit, before it is begun.

    Args:
        needed_bytes: an estimate.
        device: where.
        purpose: what for, as the start of a sentence.

    Raises:
        BackboneError: less is free than is needed.
    """
    free = available_bytes(device)
    if free is not None and needed_bytes > free:
        raise BackboneError(
            f"{purpose} needs about {gigabytes(needed_bytes)} of memory and {gigabytes(free)} are free on "
            f"{device}; free some, or take a smaller model, smaller tiles or dtype = 'bfloat16'"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "not enough memory" in text or "out of memory" in text
    )


def gigabytes(size_bytes: int) -> str:
    """Return a size for people, in GB of 10^9 bytes."""
    return f"{size_bytes / 1e9:.1f} GB"


def _free_of_system() -> int | None:
    try:
        import psutil
    except ImportError:
        pass
    else:
        return int(psutil.virtual_memory().available)
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _free_of_container() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        # The page cache counts as used there, and is given up when memory is asked for.
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(limit) - int(used) + int(statistics.get("inactive_file", 0))
    except (OSError, ValueError):
        return None
