"""The device to compute on: whether it is there, what it is fast at, and how much memory it has left."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

import torch

from polyrestore.errors import DeviceError, DeviceMemoryError

# Levels of ONEDNN_MAX_CPU_ISA at which oneDNN may use bfloat16 instructions.
_LEVELS_WITH_BFLOAT16 = ("", "DEFAULT", "ALL", "AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX10_1_512")


def usable_device(device: str | torch.device | None) -> torch.device:
    """Return the device to compute on; None takes a GPU where there is one.

    Raises:
        DeviceError: the name is malformed, or there is no such device here.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        # Also back, which the device that only knows shapes cannot do.
        torch.empty(1, device=chosen).cpu()
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(f"device {str(device)!r} cannot be used ({reason}); try 'cpu'") from error
    return chosen


def computes_fast_in(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether a device has instructions of its own for a number format, as all have for float32."""
    if dtype == torch.bfloat16:
        return has_fast_bfloat16(device)
    return dtype == torch.float32 or device.type in ("cuda", "mps")


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether a device has instructions of its own for bfloat16.

    Without them a CPU still computes in bfloat16, but convolutions and matrix products leave the fast
    kernels: a training step was measured to take twelve times as long as in float32.

    Args:
        device: where the computation runs.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    level = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "")).upper()
    if not (level in _LEVELS_WITH_BFLOAT16 or level.startswith(("AVX512_CORE_AMX", "AVX10_1_512_AMX"))):
        return False
    capabilities = cpu_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def cpu_capabilities() -> dict[str, bool]:
    """Return the bfloat16 instructions of this processor by name, as far as this torch can tell."""
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return {name: bool(found.get(name)) for name in ("avx512_bf16", "amx_bf16")}
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return {"avx512_bf16": bool(probe and probe())}


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
        DeviceMemoryError: less is free than is needed.
    """
    free = available_bytes(device)
    if free is not None and needed_bytes > free:
        raise DeviceMemoryError(
            f"{purpose} needs about {gigabytes(needed_bytes)} of memory and {gigabytes(free)} are free on "
            f"{device}; free some, or take a smaller model, smaller tiles or dtype = 'bfloat16'"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "not enough memory" in text or "out of memory" in text
    )


def release_freed_memory() -> None:
    """Give memory that was freed back to the system, where the C library can be asked to (glibc's can).

    What tensors of a few megabytes took stays with the process otherwise, and in pieces that the next ones do
    not fit into: of tiles of 1000 px, half as much again as is alive at once.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:
        trim(0)


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
