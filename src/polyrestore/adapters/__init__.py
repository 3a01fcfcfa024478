"""Light modules beside a frozen backbone's layers: one per degradation, composed with weights."""

from polyrestore.adapters.bank import AdapterBank
from polyrestore.adapters.base import base_sha256, carry_over, check_base
from polyrestore.adapters.bottleneck import BottleneckConfig
from polyrestore.adapters.checking import (
    adaptable_layers,
    check_fits,
    eligible_layers,
    layer_count,
)
from polyrestore.adapters.composition import checked_composition
from polyrestore.adapters.config import (
    MAXIMUM_ADAPTER_BYTES,
    Adapter,
    AdapterConfig,
    Prototype,
    check_adapter_size,
)
from polyrestore.adapters.growing import grow_adapter
from polyrestore.adapters.layer import AdaptedLayer, bare_state_dict
from polyrestore.adapters.lora_config import LoraConfig
from polyrestore.adapters.reach import added_radius_px
from polyrestore.adapters.registry import ADAPTER_KINDS
from polyrestore.adapters.storage import load_adapter, save_adapter

__all__ = [
    "ADAPTER_KINDS",
    "MAXIMUM_ADAPTER_BYTES",
    "AdaptedLayer",
    "Adapter",
    "AdapterBank",
    "AdapterConfig",
    "BottleneckConfig",
    "LoraConfig",
    "Prototype",
    "adaptable_layers",
    "added_radius_px",
    "bare_state_dict",
    "base_sha256",
    "carry_over",
    "check_adapter_size",
    "check_base",
    "check_fits",
    "checked_composition",
    "eligible_layers",
    "grow_adapter",
    "layer_count",
    "load_adapter",
    "save_adapter",
]
