"""Images in memory or on disk, and training batches made from them."""

from polyrestore.data.batch import Batch, Source, mixed_seed
from polyrestore.data.checking import Problem, check_sets
from polyrestore.data.duplicates import Duplicate, HashMemory, find_duplicates
from polyrestore.data.images import Pair, align_pair, load_burst, load_clean, load_pairs
from polyrestore.data.layouts import LAYOUTS, FoundSet, find_sets
from polyrestore.data.mixture_sets import centre_crop, damaged_alike, write_mixture_set
from polyrestore.data.one_task import MixtureWeights, OneCompositionSource, OneTaskSource
from polyrestore.data.samples import ImageFile, PixelCache, Sample
from polyrestore.data.shards import find_shards, holds_shards, pack
from polyrestore.data.synthesis import BatchSource, Synthesis
from polyrestore.data.task_source import TaskSource
from polyrestore.data.tasks import FixedNoise, SampleGroup, SyntheticDamage, Task

__all__ = [
    "LAYOUTS",
    "Batch",
    "BatchSource",
    "Duplicate",
    "FixedNoise",
    "FoundSet",
    "HashMemory",
    "ImageFile",
    "MixtureWeights",
    "OneCompositionSource",
    "OneTaskSource",
    "Pair",
    "PixelCache",
    "Problem",
    "Sample",
    "SampleGroup",
    "Source",
    "SyntheticDamage",
    "Synthesis",
    "Task",
    "TaskSource",
    "align_pair",
    "centre_crop",
    "check_sets",
    "damaged_alike",
    "find_duplicates",
    "find_sets",
    "find_shards",
    "holds_shards",
    "load_burst",
    "load_clean",
    "load_pairs",
    "mixed_seed",
    "pack",
    "write_mixture_set",
]
