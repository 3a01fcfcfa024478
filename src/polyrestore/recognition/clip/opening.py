"""Opening the encoder that a bundle refers to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyrestore.errors import RecognitionError
from polyrestore.recognition.clip.daclip import read_da_clip
from polyrestore.recognition.clip.network import ClipRecogniser, clip_tower, read_clip
from polyrestore.recognition.clip.preprocessing import preprocessing_of
from polyrestore.recognition.clip.reference import (
    EncoderReference,
    file_fingerprint,
    find_folder,
    folder_fingerprint,
)


def open_recogniser(reference: EncoderReference, options: Mapping[str, Any]) -> ClipRecogniser:
    """Return the recogniser that a bundle's reference and options describe.

    Raises:
        RecognitionError: the encoder is missing, is not the one that the reference was made for, or an option
            cannot be used.
        CheckpointError: DA-CLIP's checkpoint cannot be read.
    """
    extra = {key: value for key, value in options.items() if key != "preprocessing"}
    known = {"activation"} if reference.kind == "da-clip" else set()
    described = options.get("preprocessing")
    if not isinstance(described, Mapping) or set(extra) - known:
        raise RecognitionError(
            f"a {reference.kind} encoder cannot be described by {', '.join(sorted(options))}"
        )
    preprocessing = preprocessing_of(described)
    if reference.kind == "da-clip":
        path = Path(reference.path)
        _require_same(reference, file_fingerprint(path))
        tower = read_da_clip(path, **extra).controller
    else:
        folder, _ = find_folder(reference.path, revision=reference.revision)
        _require_same(reference, folder_fingerprint(folder))
        tower = clip_tower(read_clip(folder))
    size = tower.transformer.config.image_size
    if size != preprocessing.image_size:
        raise RecognitionError(f"the image encoder takes {size} pixels, not {preprocessing.image_size}")
    return ClipRecogniser(tower, preprocessing, reference, extra).eval()


def _require_same(reference: EncoderReference, sha256: str) -> None:
    if sha256 != reference.sha256:
        raise RecognitionError(
            f"{reference.path} is another encoder than the one that the prototypes were made with "
            f"(its SHA-256 is {sha256[:12]}..., not {reference.sha256[:12]}...); make the bundle again"
        )
