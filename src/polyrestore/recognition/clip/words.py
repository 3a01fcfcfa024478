"""Words that stand for degradations: embedded by CLIP's text encoder, they are the prototypes."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from polyrestore.errors import RecognitionError, nearest_names
from polyrestore.files import read_text
from polyrestore.recognition.clip.network import embed_texts
from polyrestore.recognition.similarity import CLEAN, prototype_of

WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "motion_blur": ("motion-blurry",),
        "haze": ("hazy",),
        "jpeg": ("jpeg-compressed",),
        "low_light": ("low-light",),
        "noise": ("noisy",),
        "raindrop": ("raindrop",),
        "rain": ("rainy",),
        "shadow": ("shadowed",),
        "snow": ("snowy",),
        "missing_pixels": ("uncompleted",),
        # DA-CLIP has no words for these three.
        "defocus_blur": ("out-of-focus",),
        "downsampling": ("low-resolution",),
        CLEAN: ("clean",),
    }
)
"""DA-CLIP's ten words, by degradation, and three of our own."""


@dataclass(frozen=True)
class WordBank:
    """Words by adapter name, and what is written around them.

    Attributes:
        words: at least one by name; several are averaged.
        template: with one ``{}`` for the word.
    """

    words: Mapping[str, tuple[str, ...]]
    template: str = "{}"

    def texts(self, name: str) -> list[str]:
        """Return what is embedded for a name."""
        return [self.template.replace("{}", word) for word in self.words[name]]

    def to_dict(self) -> dict[str, Any]:
        """Return the bank as plain JSON values, in the layout of a words file."""
        return {"template": self.template, "words": {name: list(words) for name, words in self.words.items()}}


def word_bank(adapters: Collection[str], path: Path | None = None) -> WordBank:
    """Return the words for adapters, and for clean images.

    Args:
        adapters: the names that need words.
        path: a TOML file with ``template`` and a table ``words``, either of which may be left out. A name has
            one word or a list; what it does not name keeps its word of ``WORDS`` or, where there is none, its
            name with spaces. ``clean = []`` leaves clean images out, so that every image is restored.

    Raises:
        RecognitionError: the file cannot be read or has unknown keys, or words for what is no adapter.
    """
    content = {} if path is None else _read(path)
    template, own = content.get("template", "{}"), content.get("words", {})
    known = (*sorted(adapters), CLEAN)
    for name in own:
        if name not in known:
            raise RecognitionError(f"{path}: there is no adapter {name!r}; {nearest_names(name, known)}")
    words = {name: own.get(name, WORDS.get(name, (name.replace("_", " "),))) for name in known}
    return WordBank({name: tuple(entries) for name, entries in words.items() if entries}, template)


def embed_words(bank: WordBank, model: Any, tokenizer: Any) -> dict[str, Tensor]:
    """Return the prototypes: unit vectors (D,) by name, averaged over each name's words.

    Args:
        bank: the words.
        model: a ``CLIPModel``.
        tokenizer: the model's.

    Raises:
        RecognitionError: a text is too long, or the tokenizer belongs to another model.
    """
    return {
        name: prototype_of(embed_texts(model, tokenizer, bank.texts(name))).clone() for name in bank.words
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(read_text(path))
    except OSError as error:
        raise RecognitionError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise RecognitionError(f"{path} is not TOML: {error}") from error
    for key in content:
        if key not in ("template", "words"):
            hint = nearest_names(key, ("template", "words"))
            raise RecognitionError(f"{path}: unknown key {key!r}; {hint}")
    template = content.get("template", "{}")
    if not isinstance(template, str) or template.count("{}") != 1:
        raise RecognitionError(f"{path}: template must have one {{}} for the word in it, not {template!r}")
    words = content.get("words", {})
    if not isinstance(words, dict):
        raise RecognitionError(f"{path}: words must be a table, such as [words] with haze = 'hazy' in it")
    content["words"] = {name: _entries(path, name, value) for name, value in words.items()}
    return content


def _entries(path: Path, name: str, value: Any) -> tuple[str, ...]:
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(word, str) and word.strip() for word in entries):
        raise RecognitionError(f"{path}: {name} must be a word or a list of words, not {value!r}")
    if not entries and name != CLEAN:
        raise RecognitionError(f"{path}: {name} has no words; only {CLEAN} may be left without")
    return tuple(entries)
