"""Images in memory and training batches made from them."""

from polyrestore.data.images import Pair, align_pair, load_burst, load_clean, load_pairs
from polyrestore.data.synthesis import Batch, BatchSource, OneCompositionSource, Synthesis, mixed_seed

__all__ = [
    "Batch",
    "BatchSource",
    "OneCompositionSource",
    "Pair",
    "Synthesis",
    "align_pair",
    "load_burst",
    "load_clean",
    "load_pairs",
    "mixed_seed",
]
