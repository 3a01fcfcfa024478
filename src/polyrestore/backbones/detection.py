"""Which backbone a foreign state dict belongs to: every one is asked, and the one that fits whole is it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from polyrestore.backbones import BACKBONES, Backbone, build_backbone
from polyrestore.backbones.shapes import Shapes
from polyrestore.errors import BackboneError, CheckpointError

_KEYS_TO_SHOW = 3


@dataclass(frozen=True)
class Detected:
    """A backbone whose state dict has the shapes that were asked about.

    Attributes:
        name: in the registry.
        options: keyword arguments that build it.
        assumed: those options that no shape tells and nobody gave, with the published values.
    """

    name: str
    options: dict[str, object]
    assumed: dict[str, object]


def detect_backbone(
    shapes: Mapping[str, tuple[int, ...]], given: Mapping[str, object] | None = None
) -> Detected:
    """Find the backbone that a state dict belongs to, key by key and shape by shape.

    Args:
        shapes: by key, without wrappers and prefixes. Keys that :meth:`Backbone.skippable_keys` names may be
            missing or have other shapes, those that :meth:`Backbone.copied_keys` names may be missing.
        given: options that are known from elsewhere; they come before what the shapes tell.

    Raises:
        CheckpointError: no backbone fits; says what does not, for the nearest one.
    """
    problems: list[tuple[int, str]] = []
    seen = Shapes(shapes)
    for name, backbone_class in BACKBONES.offered():
        try:
            found = backbone_class.published_options(seen)
            if found is None:
                continue
            options: dict[str, Any] = {**found.options, **(given or {})}
            # Without memory: only shapes are asked for.
            with torch.device("meta"):
                backbone = build_backbone(name, **options)
        except BackboneError as error:
            problems.append((len(shapes), f"looks like {name} but {error}"))
            continue
        differences = _differences(backbone, shapes)
        if not differences:
            unknown = [key for key in found.assumed if key not in (given or {})]
            return Detected(name, options, {key: backbone.options[key] for key in unknown})
        more = f" (and {len(differences) - 1} more differences)" if len(differences) > 1 else ""
        problems.append((len(differences), f"looks like {name} but {differences[0]}{more}"))
    if problems:
        raise CheckpointError(min(problems)[1])
    keys = ", ".join(sorted(shapes)[:_KEYS_TO_SHOW])
    known = ", ".join(sorted(BACKBONES))
    raise CheckpointError(f"belongs to no backbone that is known here ({known}); its first keys are {keys}")


def _differences(backbone: Backbone, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Say what of a state dict does not fit a backbone: missing keys, unknown ones, other shapes."""
    expected = {key: tuple(tensor.shape) for key, tensor in backbone.state_dict().items()}
    skippable = backbone.skippable_keys()
    missing = sorted(expected.keys() - shapes.keys() - skippable - backbone.copied_keys().keys())
    unknown = sorted(shapes.keys() - expected.keys())
    wrong = sorted(
        key for key in expected.keys() & shapes.keys() - skippable if expected[key] != tuple(shapes[key])
    )
    return [
        *(f"lacks the key {key!r}" for key in missing),
        *(f"has the unknown key {key!r}" for key in unknown),
        *(f"has {key!r} in the shape {tuple(shapes[key])} instead of {expected[key]}" for key in wrong),
    ]
