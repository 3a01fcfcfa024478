"""Which number format a run computes in, decided once from what the hardware is fast at."""

from __future__ import annotations

import os
from typing import Literal

import torch

Precision = Literal["auto", "no", "bf16", "fp16"]

# Levels of ONEDNN_MAX_CPU_ISA at which oneDNN may use bfloat16 instructions.
_LEVELS_WITH_BFLOAT16 = ("", "DEFAULT", "ALL", "AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX10_1_512")


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
