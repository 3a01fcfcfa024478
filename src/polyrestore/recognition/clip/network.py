"""CLIP as a recogniser: its image encoder embeds, and embedded words are the prototypes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.errors import RecognitionError, needs_extra
from polyrestore.files import read_text
from polyrestore.recognition.base import BaseRecogniser, Reference
from polyrestore.recognition.clip.preprocessing import Preprocessing, preprocessing_of
from polyrestore.recognition.clip.reference import (
    CONFIG_FILE,
    find_folder,
    folder_fingerprint,
    weight_files,
)
from polyrestore.storage.tensors import check_finite, read_tensors

# A buffer of indices that older versions of transformers saved with the weights.
_POSITIONS = "embeddings.position_ids"


class ImageTower(nn.Module):
    """The image half of a CLIP of transformers, layer by layer, so that features can be added in between.

    Args:
        transformer: CLIP's vision transformer.
        projection: its linear map into the space that it shares with the text.
    """

    def __init__(self, transformer: nn.Module, projection: nn.Module) -> None:
        super().__init__()
        self.transformer: Any = transformer
        self.projection = projection

    def forward(self, pixels: Tensor, added: Sequence[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
        """Return embeddings (B, D), not normalised, and every layer's tokens (B, N, C).

        Args:
            pixels: normalised squares (B, 3, S, S).
            added: tokens to add after each layer; none where None.
        """
        tokens = self.transformer.pre_layrnorm(self.transformer.embeddings(pixels))
        states = []
        for index, layer in enumerate(self.transformer.encoder.layers):
            tokens = layer(tokens, None)
            if added is not None:
                tokens = tokens + added[index]
            states.append(tokens)
        return self.projection(self.transformer.post_layernorm(tokens[:, 0])), states


class ClipRecogniser(BaseRecogniser):
    """The image encoder of a CLIP, which a bundle refers to instead of holding it.

    Args:
        tower: the image encoder.
        preprocessing: what it was shown.
        reference: where it came from.
        extra: further options that rebuild it.
    """

    kind: ClassVar[str] = "clip"
    external: ClassVar[bool] = True
    # Options beside the preprocessing.
    extra_options: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        tower: ImageTower,
        preprocessing: Preprocessing,
        reference: Reference,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        self.tower = tower
        self.preprocessing = preprocessing
        self._reference = reference
        self.options = {"preprocessing": preprocessing.to_dict(), **(extra or {})}
        self.dimension = int(tower.transformer.config.projection_dim)

    @classmethod
    def open(cls, reference: Reference, options: Mapping[str, Any]) -> Self:
        """Open the encoder that a bundle's reference and options describe.

        Raises:
            RecognitionError: the encoder is missing, is not the one that the reference was made for, or an
                option cannot be used.
            CheckpointError: DA-CLIP's checkpoint cannot be read.
        """
        extra = {key: value for key, value in options.items() if key != "preprocessing"}
        described = options.get("preprocessing")
        if not isinstance(described, Mapping) or set(extra) - cls.extra_options:
            named = ", ".join(sorted(options))
            raise RecognitionError(f"a {cls.kind} encoder cannot be described by {named}")
        preprocessing = preprocessing_of(described)
        tower = cls.read_tower(reference, extra)
        size = tower.transformer.config.image_size
        if size != preprocessing.image_size:
            raise RecognitionError(f"the image encoder takes {size} pixels, not {preprocessing.image_size}")
        return cls(tower, preprocessing, reference, extra).eval()

    @classmethod
    def read_tower(cls, reference: Reference, extra: Mapping[str, Any]) -> ImageTower:
        """Read the image encoder that a reference describes, after comparing its fingerprint."""
        folder, _ = find_folder(reference.path, revision=reference.revision)
        require_same(reference, folder_fingerprint(folder))
        return clip_tower(read_clip(folder))

    def embed(self, image: Tensor) -> Tensor:
        """Return unit vectors (B, D) for whole images (B, 3, H, W) of any size, RGB in [0, 1]."""
        embedding, _ = self.tower(self.preprocessing(image.float()))
        return functional.normalize(embedding.float(), dim=1)

    def reference(self) -> Reference:
        """Return where the encoder is."""
        return self._reference


def require_same(reference: Reference, sha256: str) -> None:
    """Raise RecognitionError unless a fingerprint is the one that is referred to."""
    if sha256 != reference.sha256:
        raise RecognitionError(
            f"{reference.path} is another encoder than the one that the prototypes were made with "
            f"(its SHA-256 is {sha256[:12]}..., not {reference.sha256[:12]}...); make the bundle again"
        )


def read_clip(folder: Path) -> Any:
    """Return the ``CLIPModel`` of a folder that transformers wrote, float32 and in evaluation mode.

    The weights are safetensors, and every one must fit. No code in the folder is run.

    Raises:
        MissingExtraError: transformers is not installed.
        RecognitionError: the folder is incomplete, damaged or another
            kind of model.
    """
    config = _read_config(folder)
    found: dict[str, Tensor] = {}
    for path in weight_files(folder):
        found |= read_tensors(path, RecognitionError, "download it again").tensors
    found = {key: value.float() for key, value in found.items() if not key.endswith(_POSITIONS)}
    if found and not any(key.startswith("text_model.") for key in found):
        raise RecognitionError(f"{folder} has no text encoder, which makes the prototypes; give a whole CLIP")
    try:
        model = build_clip(config)
        model.load_state_dict(found, strict=True)
    except RecognitionError as error:
        raise RecognitionError(f"{folder / CONFIG_FILE}: {error}") from error
    except RuntimeError as error:
        misfit = first_misfit(error)
        raise RecognitionError(f"{folder}: the weights do not fit {CONFIG_FILE}: {misfit}") from error
    check_finite(found, folder, RecognitionError, "the weights are damaged")
    return model


def build_clip(config: Mapping[str, Any]) -> Any:
    """Return an untrained ``CLIPModel`` in evaluation mode, without advancing anybody's random numbers.

    Raises:
        MissingExtraError: transformers is not installed.
        RecognitionError: the configuration cannot be used.
    """
    with needs_extra("CLIP", "clip"):
        from transformers import CLIPConfig, CLIPModel
    try:
        with torch.random.fork_rng(devices=[]):
            return CLIPModel(CLIPConfig(**config)).eval().requires_grad_(False)
    except Exception as error:
        # A configuration with nonsense in it can make the library raise anything at all.
        reason = " ".join(str(error).split())
        raise RecognitionError(f"no CLIP can be built of it: {reason}") from error


def clip_tower(model: Any) -> ImageTower:
    """Return the image half of a ``CLIPModel``; the parameters are shared."""
    return ImageTower(model.vision_model, model.visual_projection)


def clip_reference(name: str, folder: Path, revision: str | None) -> Reference:
    """Return the reference to a CLIP folder: its hub name, or its absolute path."""
    path = str(folder) if revision is None else name
    return Reference(path, folder_fingerprint(folder), revision)


def read_tokenizer(folder: Path) -> Any:
    """Return the tokenizer in a CLIP folder.

    Raises:
        MissingExtraError: transformers is not installed.
        RecognitionError: the tokenizer is missing or damaged.
    """
    names = ("vocab.json", "merges.txt")
    if not (folder / "tokenizer.json").is_file() and not all((folder / name).is_file() for name in names):
        raise RecognitionError(f"{folder} has no tokenizer (tokenizer.json, or vocab.json and merges.txt)")
    with needs_extra("CLIP", "clip"):
        from transformers import CLIPTokenizer
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        # The files are parsed by several libraries, in Rust among them.
        reason = " ".join(str(error).split())[:200]
        raise RecognitionError(f"the tokenizer in {folder} is damaged: {reason}") from error


@torch.inference_mode()
def embed_texts(model: Any, tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """Return unit vectors (N, D) for N texts by a ``CLIPModel``'s text encoder.

    Raises:
        RecognitionError: a text is too long, or the tokenizer belongs to another model.
    """
    vocabulary = model.config.text_config.vocab_size
    longest = model.config.text_config.max_position_embeddings
    vectors = []
    for text in texts:
        tokens = tokenizer(text)["input_ids"]
        if len(tokens) > longest:
            raise RecognitionError(f"{text!r} is too long: {len(tokens)} tokens instead of at most {longest}")
        if max(tokens) >= vocabulary or tokens[-1] != tokenizer.eos_token_id:
            raise RecognitionError(
                f"the tokenizer belongs to another model: {text!r} becomes {tokens}, but the text encoder "
                f"knows {vocabulary} tokens"
            )
        hidden = model.text_model(input_ids=torch.tensor([tokens])).last_hidden_state
        # The last token, which alone has seen the whole text.
        vectors.append(model.text_projection(hidden[:, -1]))
    return functional.normalize(torch.cat(vectors).float(), dim=1)


def first_misfit(error: RuntimeError) -> str:
    """Return the first thing that torch found wrong with a state dict, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join((lines[1] if len(lines) > 1 else lines[0]).split())[:300]


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    try:
        config = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise RecognitionError(f"{path} cannot be read: {error}") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind in ("clip_vision_model", "clip_text_model"):
        missing = "text" if kind == "clip_vision_model" else "image"
        raise RecognitionError(f"{folder} is half a CLIP ({kind}): it has no {missing} encoder")
    if kind != "clip" or not isinstance(config, dict):
        raise RecognitionError(f"{folder} is not a CLIP: its model_type is {kind!r}")
    # Which precision the weights were saved in is no matter here.
    skipped = ("model_type", "torch_dtype", "dtype", "transformers_version", "architectures")
    return {key: value for key, value in config.items() if key not in skipped}
