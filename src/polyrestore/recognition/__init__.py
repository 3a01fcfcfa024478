"""Recognise what is wrong with a photograph, and turn it into composition weights."""

from polyrestore.recognition.base import BaseRecogniser, Reading, Reference
from polyrestore.recognition.network import Recogniser
from polyrestore.recognition.registry import RECOGNISERS, build_recogniser, recogniser_kind
from polyrestore.recognition.similarity import (
    ACTIVATIONS,
    CLEAN,
    NORMALISATIONS,
    Recognition,
    RecognitionSettings,
    composition_of,
    full_normalisation,
    prototype_of,
    recognise,
    weigh,
    weigh_similarities,
)

__all__ = [
    "ACTIVATIONS",
    "CLEAN",
    "NORMALISATIONS",
    "RECOGNISERS",
    "BaseRecogniser",
    "Reading",
    "Recogniser",
    "Recognition",
    "RecognitionSettings",
    "Reference",
    "build_recogniser",
    "composition_of",
    "full_normalisation",
    "prototype_of",
    "recognise",
    "recogniser_kind",
    "weigh",
    "weigh_similarities",
]
