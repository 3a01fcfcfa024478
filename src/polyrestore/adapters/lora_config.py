"""A LoRA's configuration, and its JSON: written for PEFT to read, and read only where nothing is lost."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from torch import Tensor

from polyrestore.adapters.config import AdapterConfig
from polyrestore.errors import AdapterError

MAXIMUM_RANK = 4096
"""More than any layer has channels."""

TINY_RANK = 2
"""Enough for a trial run."""

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


@dataclass(frozen=True)
class LoraConfig(AdapterConfig):
    """Low-rank updates of convolutions and linear layers (Hu et al., ICLR 2022, arXiv 2106.09685).

    Without ``targets`` and with a backbone that names none, every 1x1 or 3x3 convolution without groups and
    every linear layer is adapted.

    Attributes:
        rank: inner width of every update.
        alpha: the update is multiplied by ``alpha / rank``, as PEFT does.
        ranks: by module path, the ranks of the layers that have another one than ``rank``.
        alphas: by module path, the alphas of the layers that have another one than ``alpha``.

    Raises:
        AdapterError: a value is out of range.
    """

    kind: ClassVar[str] = "lora"
    rank: int = 4
    alpha: float = 4.0
    ranks: Mapping[str, int] = field(default_factory=dict)
    alphas: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for rank in (self.rank, *self.ranks.values()):
            if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= MAXIMUM_RANK:
                raise AdapterError(
                    f"a LoRA rank must be a whole number from 1 to {MAXIMUM_RANK}, not {rank!r}"
                )
        for alpha in (self.alpha, *self.alphas.values()):
            if not 0 < alpha < float("inf"):
                raise AdapterError(f"LoRA alpha must be positive and finite, not {alpha!r}")

    def at(self, path: str) -> Self:
        """Return what holds for one layer: its own rank and alpha."""
        rank, alpha = self.ranks.get(path, self.rank), self.alphas.get(path, self.alpha)
        return replace(self, rank=rank, alpha=alpha, ranks={}, alphas={})

    def own_layers(self) -> frozenset[str]:
        """Return the paths of the layers that have a rank or an alpha of their own."""
        return frozenset({*self.ranks, *self.alphas})

    def size_text(self) -> str:
        """Return the rank, or the range of ranks, and alpha."""
        ranks = {self.at(path).rank for path in self.targets or ()} or {self.rank}
        rank = f"rank {min(ranks)}" if len(ranks) == 1 else f"ranks {min(ranks)} to {max(ranks)}"
        return f"{rank}, alpha {self.alpha:g}" + (" and others" if self.alphas else "")

    @classmethod
    def shrink_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a recipe with a rank of at most ``TINY_RANK``."""
        small = {"rank": min(options["rank"], TINY_RANK)} if "rank" in options else {}
        return {**options, **small}

    def to_json(self, targets: Sequence[str], base_description: str) -> dict[str, Any]:
        """Return the content of PEFT's ``adapter_config.json``.

        Args:
            targets: the paths of the adapter's layers.
            base_description: which backbone it belongs to, for the reader of the file.
        """
        patterns = {
            "rank_pattern": {_exactly(path): rank for path, rank in sorted(self.ranks.items())},
            "alpha_pattern": {_exactly(path): _number(alpha) for path, alpha in sorted(self.alphas.items())},
        }
        return {
            "peft_type": "LORA",
            "task_type": None,
            "base_model_name_or_path": base_description,
            "inference_mode": True,
            "r": self.rank,
            "lora_alpha": _number(self.alpha),
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

    @classmethod
    def reads(cls, raw: Mapping[str, Any]) -> bool:
        """Return True for what PEFT wrote, and for what does not say its kind."""
        return "peft_type" in raw or raw.get("kind", cls.kind) == cls.kind

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], tensors: Mapping[str, Mapping[str, Tensor]]) -> Self:
        """Return the configuration that PEFT's JSON describes.

        Rank-stabilised LoRA (Kalajdzievski, arXiv 2312.03732) scales by alpha / sqrt(rank): here its alphas
        are multiplied by the square roots of the ranks, which is the same.

        Args:
            raw: the content of ``adapter_config.json``.
            tensors: the adapter's tensors by module path, then by name within the layer.

        Raises:
            AdapterError: it is no LoRA, a value makes no sense, a key may change the base or the computation,
                or a tensor has another rank.
        """
        if raw.get("peft_type") != "LORA":
            raise AdapterError(f"peft_type {raw.get('peft_type')!r} is not supported, only 'LORA'")
        for key, value in raw.items():
            if key not in _HARMLESS | _READ and not _is_one_of(value, _PLAIN.get(key, _OFF)):
                raise AdapterError(
                    f"{key} = {reprlib.repr(value)} is not supported, since it may change the base or what "
                    "the LoRA computes; train without it"
                )
        targets = sorted(tensors)
        ranks = _ranks(raw, targets)
        alphas = _alphas(raw, targets, ranks)
        rank, alpha = ranks.pop(""), alphas.pop("")
        config = cls(
            rank=rank,
            alpha=alpha,
            targets=tuple(targets),
            ranks={path: value for path, value in ranks.items() if value != rank},
            alphas={path: value for path, value in alphas.items() if value != alpha},
        )
        for path in targets:
            _check_rank(path, config.at(path).rank, tensors[path])
        return config


def _ranks(raw: Mapping[str, Any], targets: Sequence[str]) -> dict[str, int]:
    ranks = _by_path(raw, "r", "rank_pattern", targets)
    for path, value in ranks.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            where = f" for {path}" if path else ""
            raise AdapterError(f"r must be a whole number of at least 1, not {reprlib.repr(value)}{where}")
    return ranks


def _alphas(raw: Mapping[str, Any], targets: Sequence[str], ranks: Mapping[str, int]) -> dict[str, float]:
    stabilised = raw.get("use_rslora")
    if not _is_one_of(stabilised, (True, False, None)):
        raise AdapterError(f"use_rslora must be true or false, not {reprlib.repr(stabilised)}")
    alphas = _by_path(raw, "lora_alpha", "alpha_pattern", targets)
    for path, alpha in alphas.items():
        if isinstance(alpha, bool) or not isinstance(alpha, int | float):
            raise AdapterError(f"lora_alpha must be a number, not {reprlib.repr(alpha)}")
        alphas[path] = alpha * math.sqrt(ranks[path]) if stabilised else float(alpha)
    return alphas


def _check_rank(path: str, rank: int, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in sorted(tensors.items()):
        found = tensor.shape[0 if name == "lora_A.weight" else 1] if tensor.ndim >= 2 else 0
        if found != rank:
            raise AdapterError(f"{path}.{name} has rank {found}, but the configuration says {rank}")


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
