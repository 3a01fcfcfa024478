"""Reading a bundle: every file is checked before it is used, and nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from polyrestore.adapters import Adapter, bare_state_dict, check_base, check_fits, load_adapter
from polyrestore.adapters.storage import ADAPTER_CARD_FILE
from polyrestore.backbones import BACKBONES, build_backbone, outline
from polyrestore.backbones.base import Backbone
from polyrestore.backbones.capabilities import BaseReference, BorrowsModel, borrowed_keys, reference_of
from polyrestore.bundles.bundle import Bundle
from polyrestore.bundles.manifest import (
    ADAPTERS_FOLDER,
    BACKBONE_FILE,
    DOCUMENTS,
    PROTOTYPES_FILE,
    RECOGNISER_FILE,
    Manifest,
    read_manifest,
)
from polyrestore.bundles.manifest_file import MANIFEST_FILE
from polyrestore.bundles.shared import find_shared
from polyrestore.bundles.shipped import find_bundle
from polyrestore.bundles.stating import check_recogniser, gathered_prototypes, gathered_settings
from polyrestore.errors import (
    AdapterError,
    BackboneError,
    BundleError,
    PolyrestoreError,
    UnknownBackboneError,
    unknown_name,
)
from polyrestore.files import sha256_of
from polyrestore.recognition import RECOGNISERS, BaseRecogniser, Reference
from polyrestore.storage.tensors import check_finite, read_shapes, read_tensors, tensors_sha256

Network = TypeVar("Network", bound=nn.Module)
Shapes = dict[str, tuple[int, ...]]


def load_bundle(name_or_folder: str | Path, *, like: Backbone | None = None) -> Bundle:
    """Load a shipped bundle by name, or any one by folder or from the hub, float32 on the CPU, to evaluate.

    A backbone that runs on another model's weights has the type that its options say.

    Args:
        name_or_folder: what to load.
        like: a backbone on the same other model's weights, which are then compared and not read again; the
            bundle's own weights are checked, and ``like`` is in the result unchanged.

    Raises:
        UnknownNameError: no shipped bundle has this name.
        HubError: the hub does not give it, see :func:`~polyrestore.bundles.find_bundle`.
        BundleError: a file is missing, damaged or unexpected, or does not fit the others.
    """
    folder = find_bundle(name_or_folder)
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    weights = _read_tensors(folder / BACKBONE_FILE)
    adapters = {name: _read_adapter(folder, name) for name in manifest.adapters}
    if manifest.backbone.reference is not None:
        # Before the backbone, which may take minutes.
        _check_bases(folder, manifest, adapters, manifest.backbone.reference.sha256)
    backbone = _load_backbone(folder, manifest, weights, like)
    if manifest.backbone.reference is None:
        _check_bases(folder, manifest, adapters, tensors_sha256(weights))
    recogniser = _load_recogniser(folder, manifest)
    fingerprint = "" if recogniser is None else recogniser.fingerprint()
    for name, adapter in adapters.items():
        _check_adapter(folder, name, adapter, backbone, fingerprint)
    return Bundle(
        name=manifest.name,
        backbone=backbone,
        adapters={name: replace(adapter, prototype=None) for name, adapter in adapters.items()},
        recogniser=recogniser,
        prototypes=_load_prototypes(folder, manifest, adapters, recogniser),
        recognition_settings=gathered_settings(manifest.recognition_settings, adapters),
        info=manifest.info,
    )


def check_files(folder: Path, manifest: Manifest) -> None:
    """Check that a bundle's folder holds the files of its manifest, whole, and no others.

    Hidden files are left alone: version control and hub clients keep theirs there.

    Raises:
        BundleError: names the first file that is missing, unexpected or damaged.
    """
    for name, entry in sorted(manifest.files.items()):
        path = folder / name
        try:
            size = path.stat().st_size
            digest = sha256_of(path) if size == entry.size_bytes else ""
        except FileNotFoundError as error:
            raise BundleError(f"{path} is missing; copy or download the bundle again") from error
        except OSError as error:
            raise BundleError(f"cannot read {path}: {error.strerror}") from error
        if size != entry.size_bytes:
            raise BundleError(
                f"{path} has {size} bytes instead of {entry.size_bytes}; copy or download the bundle again"
            )
        if digest != entry.sha256:
            raise BundleError(
                f"{path} is damaged: its SHA-256 is not that in {MANIFEST_FILE}; "
                "copy or download the bundle again"
            )
    cards = {f"{ADAPTERS_FOLDER}/{name}/{ADAPTER_CARD_FILE}" for name in manifest.adapters}
    known = {MANIFEST_FILE, *DOCUMENTS, *cards, *manifest.files}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.is_file() and not hidden and relative.as_posix() not in known:
            raise BundleError(f"{path} does not belong to the bundle; remove it, or save the bundle again")


def _load_backbone(
    folder: Path, manifest: Manifest, weights: dict[str, Tensor], like: Backbone | None
) -> Backbone:
    entry, path = manifest.backbone, folder / BACKBONE_FILE
    options: dict[str, Any] = dict(entry.options)
    if entry.reference is not None:
        expected = BaseReference(**entry.reference.model_dump())
        if like is not None and reference_of(like) == expected:
            _check_tensors(weights, _own_state(like), path)
            return like
        options |= _checked_base(folder, entry.name, options, expected, weights)
    own = not issubclass(BACKBONES.get(entry.name, Backbone), BorrowsModel)
    backbone = _build(
        folder, "backbone", lambda: build_backbone(entry.name, **options), path if own else None
    )
    if entry.reference is None and borrowed_keys(backbone):
        raise BundleError(f"{folder / MANIFEST_FILE} does not refer to the backbone's base; save it again")
    return _fill_from_file(backbone, path, weights)


def _checked_base(
    folder: Path,
    name: str,
    options: dict[str, Any],
    expected: BaseReference,
    weights: dict[str, Tensor],
) -> dict[str, Any]:
    """Check a bundle's base before it is loaded, and return what its building can be spared."""
    if name not in BACKBONES:
        raise BundleError(
            f"{folder / MANIFEST_FILE}: {unknown_name('backbone', name, BACKBONES, UnknownBackboneError)}"
        )
    kind = BACKBONES[name]
    if not issubclass(kind, BorrowsModel):
        raise BundleError(
            f"{folder / MANIFEST_FILE} refers to the base model {expected.model}, but backbone {name!r} "
            "needs no other model's weights; save it again"
        )
    try:
        kind.check_reference(options, expected)
    except BackboneError as error:
        raise BundleError(f"{folder} needs the base model {expected.model}: {error}") from error
    return kind.known_options(weights)


def _own_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a network that its bundle holds."""
    outside = borrowed_keys(network)
    return {key: value for key, value in bare_state_dict(network).items() if key not in outside}


def _load_recogniser(folder: Path, manifest: Manifest) -> BaseRecogniser | None:
    if manifest.recogniser is None:
        return None
    entry = manifest.recogniser
    options: dict[str, Any] = dict(entry.options)
    kind = RECOGNISERS[entry.kind]
    if entry.source is not None:
        try:
            return kind.open(Reference(**entry.source.model_dump()), options)
        except PolyrestoreError as error:
            raise BundleError(f"{folder / MANIFEST_FILE}: the recogniser cannot be used: {error}") from error
    path = folder / RECOGNISER_FILE if entry.shared is None else find_shared(folder, entry.shared)
    recogniser = _build(folder, "recogniser", lambda: kind.build(options), path)
    return _fill_from_file(recogniser, path, _read_tensors(path))


def _read_adapter(folder: Path, name: str) -> Adapter:
    path = folder / ADAPTERS_FOLDER / name
    try:
        return load_adapter(path)
    except AdapterError as error:
        raise BundleError(f"{path} does not fit the bundle: {error}") from error


def _check_bases(folder: Path, manifest: Manifest, adapters: Mapping[str, Adapter], base: str) -> None:
    """Refuse adapters that do not name the bundle's backbone as their base."""
    here = f"the bundle's backbone {manifest.backbone.name!r}"
    for name, adapter in adapters.items():
        path = folder / ADAPTERS_FOLDER / name
        if not adapter.base_sha256:
            raise BundleError(f"{path} does not say which backbone it was trained beside; save it again")
        try:
            check_base(adapter, base, here)
        except AdapterError as error:
            raise BundleError(f"{path} does not fit the bundle: {error}") from error


def _check_adapter(folder: Path, name: str, adapter: Adapter, backbone: Backbone, fingerprint: str) -> None:
    try:
        check_fits(adapter, backbone)
        check_recogniser(adapter, fingerprint)
    except AdapterError as error:
        raise BundleError(f"{folder / ADAPTERS_FOLDER / name} does not fit the bundle: {error}") from error


def _load_prototypes(
    folder: Path, manifest: Manifest, adapters: Mapping[str, Adapter], recogniser: BaseRecogniser | None
) -> dict[str, Tensor]:
    path = folder / PROTOTYPES_FILE
    others = _read_tensors(path) if manifest.other_prototypes else {}
    prototypes = gathered_prototypes(others, adapters)
    if set(prototypes) != set(manifest.prototypes):
        name = min(set(prototypes) ^ set(manifest.prototypes))
        raise BundleError(
            f"{folder} and its {MANIFEST_FILE} disagree about the prototype {name!r}; save it again"
        )
    lengths = {tuple(prototype.shape) for prototype in prototypes.values()}
    # Those that were taught may be longer than the others.
    if recogniser is not None and recogniser.detail_dimension and (recogniser.dimension,) in lengths:
        lengths -= {(recogniser.dimension + recogniser.detail_dimension,)}
    if prototypes and (len(lengths) != 1 or len(next(iter(lengths))) != 1):
        raise BundleError(f"{folder}: prototypes must be vectors of one length, not {sorted(lengths)}")
    return {name: prototypes[name] for name in manifest.prototypes}


def _build(folder: Path, what: str, build: Callable[[], Network], path: Path | None) -> Network:
    """Build a network, after its shapes have been compared with those of the file that fills it."""
    try:
        # The weights are replaced at once, and reading a file must not advance anybody's random numbers.
        with torch.random.fork_rng(devices=[]):
            network = None if path is None else outline(build)
            if path is not None and network is not None:
                found = read_shapes(path, BundleError, "save the bundle again")
                _check_shapes(found, _shapes(network.state_dict()), path)
            return build()
    except BundleError:
        raise
    except (PolyrestoreError, TypeError, ValueError, RuntimeError) as error:
        raise BundleError(f"{folder / MANIFEST_FILE}: the {what} cannot be built: {error}") from error


def _fill_from_file(network: Network, path: Path, found: dict[str, Tensor]) -> Network:
    expected = _own_state(network)
    _check_tensors(found, expected, path)
    # What is missing is another model's, and loaded.
    network.load_state_dict(found, strict=len(expected) == len(network.state_dict()))
    return network.eval()


def _check_tensors(found: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    _check_shapes(_shapes(found), _shapes(expected), path)


def _shapes(tensors: Mapping[str, Tensor]) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


def _check_shapes(found: Shapes, expected: Shapes, path: Path) -> None:
    for key in sorted(set(found) ^ set(expected)):
        problem = "lacks the tensor" if key in expected else "has the unknown tensor"
        raise BundleError(f"{path} {problem} {key!r}; it belongs to another architecture")
    for key, shape in sorted(found.items()):
        if shape != expected[key]:
            fitting = expected[key]
            raise BundleError(f"{path}: {key} has shape {shape}, the architecture needs {fitting}")


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a bundle's file, those that hold fractions as float32."""
    tensors = read_tensors(path, BundleError, "save the bundle again").tensors
    check_finite(tensors, path, BundleError, "save the bundle again")
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
