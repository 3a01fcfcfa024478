"""The kinds of recognisers, by name: a further one is a class in a file of its own and one line here."""

from __future__ import annotations

from polyrestore.errors import (
    UnknownRecogniserError,
    unknown_name,
)
from polyrestore.recognition.base import BaseRecogniser
from polyrestore.recognition.clip.daclip import DaClipRecogniser
from polyrestore.recognition.clip.network import ClipRecogniser
from polyrestore.recognition.encoder import EncoderRecogniser
from polyrestore.recognition.network import Recogniser
from polyrestore.registries import Registry

RECOGNISERS: Registry[type[BaseRecogniser]] = Registry(
    {
        "network": Recogniser,
        "encoder": EncoderRecogniser,
        "clip": ClipRecogniser,
        "da-clip": DaClipRecogniser,
    }
)


def recogniser_kind(name: str) -> type[BaseRecogniser]:
    """Return the class of a kind of recogniser.

    Raises:
        UnknownNameError: there is no such kind.
    """
    if name not in RECOGNISERS:
        raise unknown_name("recogniser", name, RECOGNISERS, UnknownRecogniserError)
    return RECOGNISERS[name]


def build_recogniser(name: str, **options: object) -> BaseRecogniser:
    """Build an untrained recogniser from its kind and its options.

    Raises:
        UnknownNameError: there is no such kind.
        RecognitionError: an option cannot be used, or the kind's weights are never untrained.
    """
    return recogniser_kind(name).build(options)
