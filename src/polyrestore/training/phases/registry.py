"""The phases by name: one line for each."""

from __future__ import annotations

from polyrestore.training.phases.adapters import ADAPTERS
from polyrestore.training.phases.base import Phase
from polyrestore.training.phases.encoder import ENCODER
from polyrestore.training.phases.generative import GENERATIVE
from polyrestore.training.phases.pretraining import PRETRAINING
from polyrestore.training.phases.recogniser import RECOGNISER
from polyrestore.training.phases.trunk import TRUNK
from polyrestore.training.phases.veil import VEIL

PHASES: dict[str, Phase] = {
    "pretraining": PRETRAINING,
    "generative": GENERATIVE,
    "adapters": ADAPTERS,
    "recogniser": RECOGNISER,
    "encoder": ENCODER,
    "trunk": TRUNK,
    "veil": VEIL,
}
