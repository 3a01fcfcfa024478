"""A bundle with CLIP's eyes: the recogniser becomes an image encoder, the prototypes become words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import JsonValue

from polyrestore.bundles.bundle import Bundle
from polyrestore.bundles.loading import load_bundle
from polyrestore.bundles.saving import save_bundle
from polyrestore.errors import BundleError, OutputError

TEMPERATURE = 0.01
"""DA-CLIP's, and that of most trained CLIPs."""


@dataclass(frozen=True)
class Routed:
    """What a routed bundle recognises with.

    Attributes:
        folder: of the bundle.
        kind: ``clip`` or ``da-clip``.
        encoder: the encoder's folder, hub name or checkpoint.
        words: by prototype name.
        settings: the recognition's.
    """

    folder: Path
    kind: str
    encoder: str
    words: dict[str, tuple[str, ...]]
    settings: dict[str, Any]


def route_bundle(
    name_or_folder: str | Path,
    folder: str | Path,
    *,
    clip: str,
    da_clip: str | Path | None = None,
    words: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Routed:
    """Write a bundle that recognises with CLIP what its adapters are for; nothing is trained.

    UIR-LoRA's router (arXiv 2409.20197): the similarities of the image's embedding to those of words. The
    encoder stays where it is; the bundle refers to it.

    Args:
        name_or_folder: the bundle whose backbone and adapters are taken.
        folder: of the new bundle; there must be nothing yet.
        clip: CLIP's folder or hub name. With ``da_clip``, its tokenizer alone is used.
        da_clip: a checkpoint of DA-CLIP, whose controller then is the encoder.
        words: a words file; see :func:`polyrestore.recognition.clip.words.word_bank`.
        settings: recognition settings in place of the defaults; the normalisation is the bundle's without.
        name: of the new bundle; that of the old one with the encoder's kind where None.

    Raises:
        BundleError: the bundle cannot be used, or has no adapters.
        RecognitionError: the encoder, the words or the settings cannot be used.
        CheckpointError: DA-CLIP's checkpoint cannot be read.
        OutputError: the folder is there already, or cannot be written.
    """
    from polyrestore.recognition import RecognitionSettings
    from polyrestore.recognition.clip.words import embed_words, word_bank

    target = Path(folder)
    if os.path.lexists(target):
        raise OutputError(f"{target} is there already; choose another folder for the bundle")
    # What cannot be used is refused before anything is loaded.
    RecognitionSettings(**(settings or {}))
    bundle = load_bundle(name_or_folder)
    if not bundle.adapters:
        raise BundleError(f"bundle {bundle.name!r} has no adapters to recognise degradations for")
    own = {"temperature": TEMPERATURE, **bundle.composing_settings()}
    chosen = RecognitionSettings(**{**own, **(settings or {})})
    bank = word_bank(bundle.adapters, words)
    recogniser, model, tokenizer = _encoder(clip, da_clip)
    reference = recogniser.reference()
    origin: dict[str, Any] = {"kind": recogniser.kind, "sha256": reference.sha256, **bank.to_dict()}
    training = {key: value for key, value in bundle.info.training.items() if key != "recogniser"}
    routed = replace(
        bundle,
        name=name or f"{bundle.name[:56]}-{recogniser.kind}",
        recogniser=recogniser,
        prototypes=embed_words(bank, model, tokenizer),
        recognition_settings=chosen.to_dict(),
        # What was measured blind was measured with another recogniser.
        info=bundle.info.model_copy(
            update={"results": (), "training": {**training, "router": cast(JsonValue, origin)}}
        ),
    )
    save_bundle(target, routed, dtype=_exact_dtype(bundle))
    return Routed(target, recogniser.kind, reference.path, dict(bank.words), chosen.to_dict())


def _encoder(clip: str, da_clip: str | Path | None) -> tuple[Any, Any, Any]:
    """Return the recogniser, the ``CLIPModel`` that embeds words, and its tokenizer."""
    from polyrestore.recognition import Reference
    from polyrestore.recognition.clip.daclip import DaClipRecogniser, read_da_clip
    from polyrestore.recognition.clip.network import (
        ClipRecogniser,
        clip_reference,
        clip_tower,
        read_clip,
        read_tokenizer,
    )
    from polyrestore.recognition.clip.preprocessing import Preprocessing, read_preprocessing
    from polyrestore.recognition.clip.reference import file_fingerprint, find_folder

    folder, revision = find_folder(clip, weights=da_clip is None)
    tokenizer = read_tokenizer(folder)
    if da_clip is None:
        reference = clip_reference(clip, folder, revision)
        model = read_clip(folder)
        tower = clip_tower(model)
        preprocessing = read_preprocessing(folder, tower.transformer.config.image_size)
        return ClipRecogniser(tower, preprocessing, reference).eval(), model, tokenizer
    path = Path(da_clip).resolve()
    reference = Reference(str(path), file_fingerprint(path))
    whole = read_da_clip(path)
    preprocessing = Preprocessing(whole.controller.transformer.config.image_size)
    recogniser = DaClipRecogniser(whole.controller, preprocessing, reference, {"activation": "gelu"})
    return recogniser.eval(), whole.clip, tokenizer


def _exact_dtype(bundle: Bundle) -> torch.dtype:
    """Return float16 where it holds every weight exactly, as for a bundle that was saved in it."""
    tensors = [*bundle.backbone.state_dict().values()]
    tensors += [tensor for adapter in bundle.adapters.values() for tensor in adapter.tensors.values()]
    floats = [tensor for tensor in tensors if tensor.is_floating_point()]
    exact = all(torch.equal(tensor.half().float(), tensor.float()) for tensor in floats)
    return torch.float16 if exact else torch.float32
