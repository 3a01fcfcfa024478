"""Recognise what is wrong with a photograph, and turn it into composition weights."""

from polyrestore.recognition.base import BaseRecogniser
from polyrestore.recognition.network import Recogniser, build_recogniser
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
    "BaseRecogniser",
    "Recogniser",
    "Recognition",
    "RecognitionSettings",
    "build_recogniser",
    "composition_of",
    "full_normalisation",
    "prototype_of",
    "recognise",
    "weigh",
    "weigh_similarities",
]
