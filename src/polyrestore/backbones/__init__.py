"""Backbones by name; each describes itself."""

from polyrestore.backbones.base import Backbone, BackboneDescription
from polyrestore.backbones.capabilities import BaseReference, BorrowsModel, Contrastive, Generative, Stepped
from polyrestore.backbones.registry import BACKBONES, build_backbone, outline

__all__ = [
    "BACKBONES",
    "Backbone",
    "BackboneDescription",
    "BaseReference",
    "BorrowsModel",
    "Contrastive",
    "Generative",
    "Stepped",
    "build_backbone",
    "outline",
]
