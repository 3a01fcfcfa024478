"""How much memory the process takes, and the most that it took while something ran."""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_SECONDS_BETWEEN_LOOKS = 0.005


def resident_bytes() -> int:
    """Return how much memory the process takes now; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


class PeakMemory:
    """How much more memory than before is taken while a block runs; a context manager.

    On the CPU it is what the system says, which includes what libraries take beside tensors, or what tensors
    take, whichever is more: memory that was given back may have stayed with the process.

    Args:
        device: where the block computes.

    Attributes:
        most: in bytes.
        tensors: of these, what tensors took at their peak.
    """

    def __init__(self, device: torch.device) -> None:
        self.most = 0
        self.tensors = 0
        self._device = device
        self._live = LiveBytes()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> PeakMemory:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        else:
            self._before = resident_bytes()
            self._live.__enter__()  # type: ignore[no-untyped-call]
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device.type == "cuda":
            self.most = self.tensors = torch.cuda.max_memory_allocated(self._device) - self._before
        else:
            self._ended.set()
            self._thread.join()
            self._live.__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
            self.tensors = self._live.most
            self.most = max(self.most, self.tensors)

    def _look(self) -> None:
        while not self._ended.wait(_SECONDS_BETWEEN_LOOKS):
            self.most = max(self.most, resident_bytes() - self._before)


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are made inside and still alive, and remembers the most."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._now = 0
        self._users: Counter[int] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        for each in output if isinstance(output, (tuple, list)) else (output,):
            if isinstance(each, Tensor):
                self._add(each)
        self.most = max(self.most, self._now)
        return output

    def _add(self, tensor: Tensor) -> None:
        # Views share a storage, which lives as long as any of them.
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if not self._users[key]:
            self._now += size
        self._users[key] += 1
        weakref.finalize(tensor, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._users[key] -= 1
        if not self._users[key]:
            self._now -= size
