"""Which number format a run computes in, decided once from what the hardware is fast at."""

from __future__ import annotations

from typing import Literal

import torch

from polyrestore.devices import has_fast_bfloat16

Precision = Literal["auto", "no", "bf16", "fp16"]


def resolve_precision(wanted: Precision, device: torch.device) -> Literal["no", "bf16", "fp16"]:
    """Return the precision that a run has on a device: "auto" is "bf16" only where the hardware has it.

    Args:
        wanted: what the recipe says; anything but "auto" is taken as it is.
        device: where the run computes.
    """
    if wanted != "auto":
        return wanted
    return "bf16" if has_fast_bfloat16(device) else "no"


def describe_precision(resolved: Literal["no", "bf16", "fp16"]) -> str:
    """Return the name that people know a resolved precision by."""
    return {"no": "float32", "bf16": "bfloat16 mixed", "fp16": "float16 mixed"}[resolved]
