"""``model.json``: what a bundle folder holds, validated before any other file is opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from polyrestore.adapters.storage import CONFIG_FILE, PROTOTYPE_FILE, WEIGHTS_FILE
from polyrestore.bundles.bundle import BundleInfo, MeasuredResult
from polyrestore.bundles.manifest_file import MANIFEST_FILE, read_manifest_file
from polyrestore.errors import (
    BundleError,
    UnknownRecogniserError,
    nearest_names,
    unknown_name,
)
from polyrestore.recognition.registry import RECOGNISERS

BACKBONE_FILE = "backbone.safetensors"
RECOGNISER_FILE = "recogniser.safetensors"
PROTOTYPES_FILE = "prototypes.safetensors"
ADAPTERS_FOLDER = "adapters"
# Read by people only, so they may be edited freely: no checksum.
CARD_FILE = "README.md"
LICENCE_FILE = "LICENSE"
DOCUMENTS = (CARD_FILE, LICENCE_FILE)

# No separators and no dots: a name can only ever be a folder inside the bundle.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ReferenceEntry(BaseModel):
    """Which other model's weights the backbone runs on; the bundle does not hold them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]


class BackboneEntry(BaseModel):
    """Which backbone to build, the options that rebuild it, and the other model that it runs on, if any."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    options: dict[str, JsonValue]
    reference: ReferenceEntry | None = None


class SourceEntry(BaseModel):
    """Where an encoder that stays outside of the bundle is, and its fingerprint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, Field(min_length=1)]
    sha256: Sha256
    revision: str | None = None


class SharedEntry(BaseModel):
    """Which of the recognisers that come with the package has the weights, for bundles that share one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]


class RecogniserEntry(BaseModel):
    """Which kind of recogniser it is, the options that rebuild it, and where its weights are.

    They are in the bundle unless the kind keeps them elsewhere (``source``) or the bundle shares them with
    others that come with the package (``shared``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    options: dict[str, JsonValue]
    kind: str = "network"
    source: SourceEntry | None = None
    shared: SharedEntry | None = None

    @model_validator(mode="after")
    def _weights_in_one_place(self) -> RecogniserEntry:
        if self.kind not in RECOGNISERS:
            raise ValueError(str(unknown_name("recogniser", self.kind, RECOGNISERS, UnknownRecogniserError)))
        external = RECOGNISERS[self.kind].external
        if external != (self.source is not None):
            needs = "needs a" if external else "has no"
            raise ValueError(f"a recogniser of kind {self.kind} {needs} source")
        if external and self.shared is not None:
            raise ValueError(f"a recogniser of kind {self.kind} is not shared between bundles")
        return self


class FileEntry(BaseModel):
    """What a file must be before it is used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]


class Manifest(BaseModel):
    """The content of ``model.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1]
    name: Name
    backbone: BackboneEntry
    adapters: tuple[Name, ...]
    recogniser: RecogniserEntry | None
    prototypes: tuple[Name, ...]
    recognition_settings: dict[str, JsonValue]
    info: BundleInfo
    files: dict[str, FileEntry]

    def expected_files(self) -> set[str]:
        """Return the relative paths of the files that the other entries ask for."""
        expected = {BACKBONE_FILE}
        recogniser = self.recogniser
        if recogniser is not None and recogniser.source is None and recogniser.shared is None:
            expected.add(RECOGNISER_FILE)
        if self.other_prototypes:
            expected.add(PROTOTYPES_FILE)
        for name in self.adapters:
            files = (CONFIG_FILE, WEIGHTS_FILE, *((PROTOTYPE_FILE,) if name in self.prototypes else ()))
            expected |= {f"{ADAPTERS_FOLDER}/{name}/{file}" for file in files}
        return expected

    @property
    def other_prototypes(self) -> tuple[str, ...]:
        """The prototypes that are no adapter's, such as that of "clean"; the others are with the adapters."""
        return tuple(name for name in self.prototypes if name not in self.adapters)


_MODELS_BY_KEY: dict[str, type[BaseModel]] = {
    "backbone": BackboneEntry,
    "reference": ReferenceEntry,
    "recogniser": RecogniserEntry,
    "source": SourceEntry,
    "shared": SharedEntry,
    "info": BundleInfo,
    "results": MeasuredResult,
    "files": FileEntry,
}


def read_manifest(folder: Path) -> Manifest:
    """Read and validate a bundle's ``model.json``; no other file is opened.

    Raises:
        BundleError: it is missing, damaged, of another format, or asks for files outside the bundle.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = Manifest.model_validate(read_manifest_file(folder))
    except ValidationError as error:
        raise BundleError(f"{path}: {_first_problem(error)}") from error
    _check_file_list(path, manifest)
    return manifest


def manifest_text(manifest: Manifest) -> str:
    """Return ``model.json``'s text.

    Raises:
        BundleError: a setting is NaN or infinite, which JSON cannot hold.
    """
    try:
        return json.dumps(manifest.model_dump(mode="python"), indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        raise BundleError(f"{MANIFEST_FILE} cannot hold a value: {error}; settings must be finite") from error


def _check_file_list(path: Path, manifest: Manifest) -> None:
    expected, listed = manifest.expected_files(), set(manifest.files)
    for name in sorted(listed - expected):
        raise BundleError(f"{path} lists the file {name!r}, which no part of the bundle uses; save it again")
    for name in sorted(expected - listed):
        raise BundleError(f"{path} has no checksum for {name}; save the bundle again")
    for names in (manifest.adapters, manifest.prototypes):
        if len(set(names)) != len(names):
            raise BundleError(f"{path} lists a name twice in {', '.join(names)}; save the bundle again")


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{where}: {problem['msg']}"
    parents = [part for part in problem["loc"][:-1] if isinstance(part, str) and part in _MODELS_BY_KEY]
    model = _MODELS_BY_KEY[parents[-1]] if parents else Manifest
    return f"unknown key {where!r}; {nearest_names(str(problem['loc'][-1]), model.model_fields)}"
