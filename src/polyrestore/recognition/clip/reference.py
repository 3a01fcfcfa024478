"""Encoders that stay outside of a bundle: where they are, which files they are, and their fingerprint."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from polyrestore.errors import RecognitionError, needs_extra
from polyrestore.files import sha256_of
from polyrestore.storage.hub import fetch_snapshot, is_hub_name

CONFIG_FILE = "config.json"
_WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors")
_TOKENIZER = ("tokenizer*.json", "vocab.json", "merges.txt", "special_tokens_map.json")
_PROCESSOR = ("preprocessor_config.json", "processor_config.json")


def find_folder(name: str, *, revision: str | None = None, weights: bool = True) -> tuple[Path, str | None]:
    """Return the folder of a CLIP, and its commit when it comes from the hub.

    A name of the form ``owner/model`` that is no folder here is looked up in the hub's cache, and downloaded
    only when it is not there.

    Args:
        name: a folder, or a name on the hub.
        revision: commit to take from the hub; the newest where None.
        weights: whether the weights are needed beside the tokenizer.

    Raises:
        RecognitionError: there is no such folder, and it cannot be had from the hub.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder.resolve(), None
    if folder.exists() or not is_hub_name(name):
        raise RecognitionError(f"there is no CLIP folder at {name}; give one, or a hub name like owner/model")
    patterns = [*_TOKENIZER, *_PROCESSOR, CONFIG_FILE, *(_WEIGHTS if weights else ())]

    def refuse(reason: str) -> RecognitionError:
        return RecognitionError(
            f"there is no CLIP folder at {name}, and the hub does not give that name: {reason}"
        )

    with needs_extra("CLIP", "clip"):
        with contextlib.suppress(RecognitionError):
            snapshot = fetch_snapshot(name, patterns, refuse, revision=revision, cached_only=True)
            # The cache may hold a part of it only.
            if (snapshot / CONFIG_FILE).is_file() and (_weight_files(snapshot) or not weights):
                return snapshot, snapshot.name
        snapshot = fetch_snapshot(name, patterns, refuse, revision=revision)
    return snapshot, snapshot.name


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a folder that transformers wrote, sorted.

    Raises:
        RecognitionError: there are none.
    """
    found = _weight_files(folder)
    if not found:
        raise RecognitionError(
            f"{folder} has no model.safetensors; load and save it once with transformers to get one"
        )
    return found


def folder_fingerprint(folder: Path) -> str:
    """Return a SHA-256 of a CLIP folder's configuration and weights.

    Raises:
        RecognitionError: one of them is missing or cannot be read.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise RecognitionError(f"{folder} is not a folder of CLIP: it has no {CONFIG_FILE}")
    digest = hashlib.sha256()
    for path in (folder / CONFIG_FILE, *weight_files(folder)):
        digest.update(f"{path.name} {file_fingerprint(path)}\n".encode())
    return digest.hexdigest()


def file_fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        RecognitionError: it is missing or cannot be read.
    """
    try:
        return sha256_of(path)
    except OSError as error:
        raise RecognitionError(f"cannot read {path}: {error.strerror or error}") from error


def _weight_files(folder: Path) -> list[Path]:
    return sorted(path for pattern in _WEIGHTS for path in folder.glob(pattern))
