"""Whether a recipe's batches can fit into memory at all, asked before anything is read."""

from __future__ import annotations

import torch

from polyrestore.devices import available_bytes, gigabytes
from polyrestore.errors import DeviceMemoryError
from polyrestore.training.recipes.recipe import Recipe

# The clean and the damaged patches, the restored ones and their gradients, as float32.
_COPIES = 4


def require_memory_for(recipe: Recipe) -> None:
    """Refuse a recipe whose batches alone are larger than the free memory.

    The bound is low on purpose: what the network needs besides depends on the network.

    Raises:
        DeviceMemoryError: a batch needs more memory than is free.
    """
    data = recipe.data
    needed = _COPIES * data.batch_size * 3 * data.patch_px**2 * 4
    free = available_bytes(torch.device("cpu"))
    if free is not None and needed > free:
        raise DeviceMemoryError(
            f"data.batch_size = {data.batch_size} with data.patch_px = {data.patch_px} needs at least "
            f"{gigabytes(needed)} of memory for a batch and {gigabytes(free)} are free; make one smaller"
        )
