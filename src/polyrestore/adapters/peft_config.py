"""A LoRA's configuration in PEFT's JSON: written for PEFT to read, and read only where nothing is lost."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from polyrestore.adapters.config import LoraConfig
from polyrestore.errors import AdapterError

# What says how the LoRA came about, or what its tensors say as well.
_HARMLESS = frozenset({
    "auto_mapping", "base_model_name_or_path", "eva_config", "exclude_modules", "inference_mode",
    "layers_pattern", "layers_to_transform", "lora_dropout", "megatron_core", "peft_version",
    "qalora_group_size", "revision", "runtime_config", "target_modules", "task_type",
})  # fmt: skip
_READ = frozenset({"alpha_pattern", "lora_alpha", "peft_type", "r", "rank_pattern", "use_rslora"})
# Other ways to begin (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) take what they begin with out of the base.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva", "mica"),
}
_OFF: tuple[Any, ...] = (None, False, {}, [], "")


def to_peft(config: LoraConfig, targets: Sequence[str], base_description: str) -> dict[str, Any]:
    """Return the content of PEFT's ``adapter_config.json``.

    Args:
        config: of the adapter.
        targets: the paths of its layers.
        base_description: which backbone it belongs to, for the reader of the file.
    """
    patterns = {
        "rank_pattern": {_exactly(path): rank for path, rank in sorted(config.ranks.items())},
        "alpha_pattern": {_exactly(path): _number(alpha) for path, alpha in sorted(config.alphas.items())},
    }
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base_description,
        "inference_mode": True,
        "r": config.rank,
        "lora_alpha": _number(config.alpha),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "init_lora_weights": True,
        # An expression, matched whole: in a list, PEFT would also take "conv1" for "blocks.0.conv1".
        "target_modules": "|".join(re.escape(path) for path in targets),
        **{key: pattern for key, pattern in patterns.items() if pattern},
    }


def from_peft(raw: Mapping[str, Any], targets: Sequence[str]) -> LoraConfig:
    """Return the configuration that PEFT's JSON describes.

    Rank-stabilised LoRA (Kalajdzievski, arXiv 2312.03732) scales by alpha / sqrt(rank): here its alphas are
    multiplied by the square roots of the ranks, which is the same.

    Args:
        raw: content of ``adapter_config.json``.
        targets: the paths of the layers that the adapter's tensors belong to.

    Raises:
        AdapterError: it is no LoRA, a value makes no sense, or a key may change the base or the computation.
    """
    if raw.get("peft_type") != "LORA":
        raise AdapterError(f"peft_type {raw.get('peft_type')!r} is not supported, only 'LORA'")
    for key, value in raw.items():
        if key not in _HARMLESS | _READ and not _is_one_of(value, _PLAIN.get(key, _OFF)):
            raise AdapterError(
                f"{key} = {reprlib.repr(value)} is not supported, since it may change the base or what the "
                "LoRA computes; train without it"
            )
    stabilised = raw.get("use_rslora")
    if not _is_one_of(stabilised, (True, False, None)):
        raise AdapterError(f"use_rslora must be true or false, not {reprlib.repr(stabilised)}")
    ranks = _by_path(raw, "r", "rank_pattern", targets)
    alphas = _by_path(raw, "lora_alpha", "alpha_pattern", targets)
    for path, value in ranks.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            where = f" for {path}" if path else ""
            raise AdapterError(f"r must be a whole number of at least 1, not {reprlib.repr(value)}{where}")
        alpha = alphas[path]
        if isinstance(alpha, bool) or not isinstance(alpha, int | float):
            raise AdapterError(f"lora_alpha must be a number, not {reprlib.repr(alpha)}")
        alphas[path] = alpha * math.sqrt(value) if stabilised else float(alpha)
    rank, alpha = ranks.pop(""), alphas.pop("")
    return LoraConfig(
        rank=rank,
        alpha=alpha,
        targets=tuple(targets),
        ranks={path: value for path, value in ranks.items() if value != rank},
        alphas={path: value for path, value in alphas.items() if value != alpha},
    )


def _by_path(raw: Mapping[str, Any], key: str, pattern_key: str, targets: Sequence[str]) -> dict[str, Any]:
    """Return a value for each target, and under "" the common one; of several patterns, the first counts."""
    common, patterns = raw.get(key), raw.get(pattern_key) or {}
    if not isinstance(patterns, dict):
        raise AdapterError(f"{pattern_key} must hold a value by layer, not {reprlib.repr(patterns)}")
    found = {"": common, **dict.fromkeys(targets, common)}
    for pattern, value in reversed(patterns.items()):
        try:
            # As PEFT matches it: the whole path, or the end of it after a dot.
            expression = re.compile(rf"(.*\.)?({pattern})$")
        except re.error as error:
            raise AdapterError(f"{pattern_key} has {pattern!r}, which cannot be matched: {error}") from error
        found |= {path: value for path in targets if expression.match(path)}
    return found


def _exactly(path: str) -> str:
    """Return a pattern that PEFT matches with this path, and with no other that ends alike."""
    return f"^{re.escape(path)}"


def _number(value: float) -> int | float:
    return int(value) if float(value).is_integer() else value


def _is_one_of(value: Any, choices: tuple[Any, ...]) -> bool:
    # 0 equals False, but is not what is meant.
    return any(type(value) is type(choice) and value == choice for choice in choices)
