import torch
from torch import Tensor

from polyrestore.training.weighting import Evidence


def made_up(kind: Evidence, task_count: int, seed: int = 0) -> Tensor | None:
    """Return evidence of the kind that a strategy asks for."""
    generator = torch.Generator().manual_seed(seed)
    if kind is Evidence.NONE:
        return None
    if kind is Evidence.SCALES:
        return 0.1 + torch.rand(task_count, generator=generator)
    gradients = torch.randn((task_count, 20), generator=generator)
    return gradients @ gradients.T
