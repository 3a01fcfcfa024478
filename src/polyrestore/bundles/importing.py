"""Published weights become a bundle: the network is recognised, filled strictly, and saved.

Other models that a backbone runs on are named in the bundle instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import JsonValue
from torch import Tensor

from polyrestore.backbones import BACKBONES, Backbone, BorrowsModel, build_backbone
from polyrestore.backbones.capabilities import reference_of
from polyrestore.backbones.detection import Detected, detect_backbone
from polyrestore.bundles.bundle import UNKNOWN_LICENCE, Bundle, BundleInfo
from polyrestore.bundles.saving import save_bundle
from polyrestore.errors import CheckpointError, OutputError
from polyrestore.files import sha256_of
from polyrestore.storage.foreign import ForeignState, read_checkpoint

_NAME_LENGTH = 64


@dataclass(frozen=True)
class Imported:
    """What a checkpoint turned out to be.

    Attributes:
        folder: of the bundle.
        backbone: its name in the registry.
        options: all of its options.
        parameters: how many numbers the network holds.
        found_in: where in the file the weights were: names of wrappers, and the prefix of all keys.
        assumed: options that no shape tells, with the published values that were taken.
        licence: of the weights, as the bundle states it.
    """

    folder: Path
    backbone: str
    options: dict[str, object]
    parameters: int
    found_in: tuple[str, ...]
    assumed: dict[str, object]
    licence: str


def import_checkpoint(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    name: str | None = None,
    licence: str | None = None,
    options: Mapping[str, object] | None = None,
) -> Imported:
    """Write a bundle with the bare backbone whose published weights are in a file.

    The bundle restores images with the backbone alone, and adapters can be trained on it. Weights are kept
    in float32, exactly. A model that a backbone runs on, such as a diffusion model, stays where it is: the
    bundle names it and holds its SHA-256.

    Args:
        checkpoint: a file of torch or a ``.safetensors`` file, no code in it is run; or a model's folder in
            diffusers' layout or its name on the hub.
        folder: of the bundle; there must be nothing yet.
        name: of the bundle; the file's name where None.
        licence: SPDX identifier of the weights' licence; unknown where None.
        options: of the backbone, in place of those that the shapes tell or that would be assumed.

    Raises:
        CheckpointError: the file cannot be read, or its weights fit no backbone whole.
        BackboneError: the model cannot be used, or an option does not fit.
        OutputError: the folder is there already, or cannot be written.
        BundleError: the name cannot be a bundle's.
    """
    source, target = Path(checkpoint), Path(folder)
    if os.path.lexists(target):
        raise OutputError(f"{target} is there already; choose another folder for the bundle")
    for kind, backbone_class in BACKBONES.items():
        if source.is_file() or not issubclass(backbone_class, BorrowsModel):
            continue
        found = backbone_class.model_options(str(checkpoint))
        if found is not None:
            return _import_model(kind, {**found, **(options or {})}, target, name, licence)
    if source.is_dir():
        raise CheckpointError(
            f"the folder {source} holds no model that a backbone runs on; name a file instead"
        )
    state = read_checkpoint(source)
    shapes = {key: tuple(tensor.shape) for key, tensor in state.tensors.items()}
    try:
        detected = detect_backbone(shapes, options)
    except CheckpointError as error:
        raise CheckpointError(f"{source} {error}") from error
    backbone = _fill_from_checkpoint(source, detected, state.tensors)
    info = _info(source, detected, state, licence)
    bundle = Bundle(name=name or _name_from(source, detected.name), backbone=backbone, info=info)
    save_bundle(target, bundle, dtype=torch.float32)
    return Imported(
        folder=target,
        backbone=detected.name,
        options=dict(backbone.options),
        parameters=sum(parameter.numel() for parameter in backbone.parameters()),
        found_in=_found_in(state),
        assumed=detected.assumed,
        licence=info.licence,
    )


def _import_model(
    kind: str, options: dict[str, Any], target: Path, name: str | None, licence: str | None
) -> Imported:
    with torch.random.fork_rng(devices=[]):
        backbone = build_backbone(kind, **options).eval()
    reference = reference_of(backbone)
    if reference is None:
        raise CheckpointError(f"{options} name no other model; nothing is imported")
    title = Path(reference.model).name
    info = BundleInfo(
        licence=licence or UNKNOWN_LICENCE,
        summary=f"A {kind} backbone on {title}, whose weights are not in the bundle; without adapters.",
        provenance=(
            f"base model {title}, SHA-256 {reference.sha256}; its training data are not recorded there",
        ),
        training={"import": {"model": title, "sha256": reference.sha256}},
    )
    bundle = Bundle(name=name or _name_from(Path(f"{title}.model"), kind), backbone=backbone, info=info)
    save_bundle(target, bundle, dtype=torch.float32)
    return Imported(
        folder=target,
        backbone=kind,
        options=dict(backbone.options),
        parameters=sum(parameter.numel() for parameter in backbone.parameters()),
        found_in=(),
        assumed={},
        licence=info.licence,
    )


def _fill_from_checkpoint(source: Path, detected: Detected, tensors: Mapping[str, Tensor]) -> Backbone:
    try:
        # The weights are replaced at once, and reading a file must not advance anybody's random numbers.
        with torch.random.fork_rng(devices=[]):
            backbone = build_backbone(detected.name, **detected.options)
        own = backbone.state_dict()
        copies = {key: tensors[source] for key, source in backbone.copied_keys().items()}
        # Only keys that may be skipped can still differ: the detection compared all others.
        fitting = {key: tensor for key, tensor in tensors.items() if tensor.shape == own[key].shape}
        backbone.load_state_dict({**own, **copies, **fitting}, strict=True)
    except (RuntimeError, MemoryError) as error:
        raise CheckpointError(f"{source}: the {detected.name} in it cannot be filled: {error}") from error
    return backbone.eval()


def _info(source: Path, detected: Detected, state: ForeignState, licence: str | None) -> BundleInfo:
    try:
        digest = sha256_of(source)
    except OSError as error:
        raise CheckpointError(f"cannot read {source}: {error.strerror or error}") from error
    origin = (
        f"weights imported from {source.name}, SHA-256 {digest}; their training data are not recorded there"
    )
    return BundleInfo(
        licence=licence or UNKNOWN_LICENCE,
        summary=f"A {detected.name} with published weights, imported from {source.name}, without adapters.",
        provenance=(origin,),
        training={
            "import": {
                "file": source.name,
                "sha256": digest,
                "found_in": list(_found_in(state)),
                "assumed": cast(JsonValue, detected.assumed),
            }
        },
    )


def _found_in(state: ForeignState) -> tuple[str, ...]:
    return (*state.wrappers, state.prefix) if state.prefix else state.wrappers


def _name_from(source: Path, backbone: str) -> str:
    """Return the file's name with nothing in it that a bundle's name may not have."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", source.stem).strip("-_")
    return plain[:_NAME_LENGTH] or backbone
