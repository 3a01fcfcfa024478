"""DA-CLIP: a CLIP whose image encoder has a controller that embeds what is wrong with an image.

The controller is a copy of the image encoder. Its output is the degradation embedding; its layers' tokens,
through linear layers that start at zero, are added to the image encoder's, whose output becomes the embedding
of the content. The text encoder is CLIP's (Luo et al., Controlling Vision-Language Models for Universal Image
Restoration, ICLR 2024).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.errors import CheckpointError, RecognitionError, nearest_names
from polyrestore.recognition.base import Reference
from polyrestore.recognition.clip.network import (
    ClipRecogniser,
    ImageTower,
    build_clip,
    clip_tower,
    first_misfit,
    require_same,
)
from polyrestore.recognition.clip.reference import file_fingerprint
from polyrestore.storage.foreign import read_checkpoint

# Attention heads are in no weight; the networks of the family have them this wide.
_HEAD_WIDTH = 64
_ACTIVATIONS = ("gelu", "quick_gelu")

_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_IMAGE = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}
_TEXT = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}


class DaClip(nn.Module):
    """A CLIP and its controller.

    Args:
        clip: a ``CLIPModel`` of transformers.
        controller: a tower like CLIP's own.
    """

    def __init__(self, clip: Any, controller: ImageTower) -> None:
        super().__init__()
        self.clip = clip
        self.controller = controller
        self.content = clip_tower(clip)
        width = clip.config.vision_config.hidden_size
        layers = clip.config.vision_config.num_hidden_layers
        self.zero_layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        for layer in self.zero_layers:
            layer.requires_grad_(False)
            for parameter in layer.parameters():
                parameter.zero_()
        self.logit_scale = nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit vectors (B, D) of the content and of the degradation.

        Args:
            pixels: normalised squares (B, 3, S, S).
        """
        degradation, states = self.controller(pixels)
        added = [zero(tokens) for zero, tokens in zip(self.zero_layers, states, strict=True)]
        # The last layer's go to the first one: so the published network was trained.
        content, _ = self.content(pixels, added[::-1])
        return functional.normalize(content, dim=1), functional.normalize(degradation, dim=1)


class DaClipRecogniser(ClipRecogniser):
    """DA-CLIP's controller as a recogniser; the reference is the checkpoint that its authors publish."""

    kind: ClassVar[str] = "da-clip"
    extra_options: ClassVar[frozenset[str]] = frozenset({"activation"})

    @classmethod
    def read_tower(cls, reference: Reference, extra: Mapping[str, Any]) -> ImageTower:
        """Read the controller of a checkpoint, after comparing its fingerprint."""
        path = Path(reference.path)
        require_same(reference, file_fingerprint(path))
        return read_da_clip(path, **extra).controller


def read_da_clip(path: Path, activation: str = "gelu") -> DaClip:
    """Read a checkpoint in the layout of DA-CLIP's authors; no code in it is run, and every weight must fit.

    Args:
        path: such as ``daclip_ViT-B-32.pt``; sizes are read from the shapes.
        activation: ``gelu``, as all published ones have, or ``quick_gelu``. It is in no weight.

    Raises:
        CheckpointError: the file cannot be read, or has missing, unknown or misshapen weights.
        MissingExtraError: transformers is not installed.
        RecognitionError: the activation is unknown.
    """
    if activation not in _ACTIVATIONS:
        hint = nearest_names(str(activation), _ACTIVATIONS)
        raise RecognitionError(f"unknown activation {activation!r}; {hint}")
    found = {key: tensor.float() for key, tensor in read_checkpoint(path).tensors.items()}
    try:
        return _filled(found, activation)
    except CheckpointError as error:
        raise CheckpointError(f"{path} {error}") from error


def _filled(found: Mapping[str, Tensor], activation: str) -> DaClip:
    if not any(key.startswith("visual_control.") for key in found):
        raise CheckpointError("is not a checkpoint of DA-CLIP: it has no visual_control")
    image_layers = _count_layers(found, "clip.visual.transformer.")
    text_layers = _count_layers(found, "clip.transformer.")
    _check_keys(found, image_layers, text_layers)
    for key in (key for key in found if key.startswith("visual.")):
        # The same module under two names.
        if not torch.equal(found[key], found[f"clip.{key}"]):
            raise CheckpointError(f"is inconsistent: {key} and clip.{key} differ")
    model = DaClip(*_built(found, image_layers, text_layers, activation))
    text = _transformer(found, "clip.", "clip.transformer.", text_layers, _TEXT)
    state = {f"clip.text_model.{key}": tensor for key, tensor in text.items()}
    state["clip.text_projection.weight"] = found["clip.text_projection"].T
    state["clip.logit_scale"] = found["clip.logit_scale"]
    for part, prefix, blocks in (
        ("content", "clip.visual.", "clip.visual.transformer."),
        ("controller", "visual_control.", "visual_control.transformer.transformer."),
    ):
        tower = _transformer(found, prefix, blocks, image_layers, _IMAGE)
        tower = {f"transformer.{key}": tensor for key, tensor in tower.items()}
        tower["projection.weight"] = found[f"{prefix}proj"].T
        state |= {f"{part}.{key}": tensor for key, tensor in tower.items()}
    for key in state.copy():
        # The content tower is CLIP's own.
        shared = key.replace("content.transformer.", "clip.vision_model.")
        state[shared.replace("content.projection.", "clip.visual_projection.")] = state[key]
    state["logit_scale"] = found["logit_scale"]
    prefix = "visual_control.transformer.zero_modules."
    state |= {
        key.replace(prefix, "zero_layers."): tensor for key, tensor in found.items() if key.startswith(prefix)
    }
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"does not fit together: {first_misfit(error)}") from error
    return model.eval()


def _check_keys(found: Iterable[str], image_layers: int, text_layers: int) -> None:
    visual = {"proj", *_IMAGE}
    expected = {f"clip.{key}" for key in ("text_projection", "logit_scale", *_TEXT)} | {"logit_scale"}
    expected |= _block_keys("clip.transformer.", text_layers)
    for prefix in ("clip.visual.", "visual.", "visual_control."):
        expected |= {f"{prefix}{key}" for key in visual}
    for prefix in ("clip.visual.", "visual.", "visual_control.transformer."):
        expected |= _block_keys(f"{prefix}transformer.", image_layers)
    for index in range(image_layers):
        zero = f"visual_control.transformer.zero_modules.{index}"
        expected |= {f"{zero}.weight", f"{zero}.bias"}
    for key in sorted(set(found) - expected):
        raise CheckpointError(f"has the unknown weight {key!r}, which DA-CLIP does not have")
    for key in sorted(expected - set(found)):
        raise CheckpointError(f"lacks the weight {key!r} of DA-CLIP")


def _built(
    found: Mapping[str, Tensor], image_layers: int, text_layers: int, activation: str
) -> tuple[Any, ImageTower]:
    """Return an untrained CLIP and controller of the sizes that the shapes tell."""
    try:
        patches, width = found["clip.visual.positional_embedding"].shape
        grid, patch_px = math.isqrt(patches - 1), found["clip.visual.conv1.weight"].shape[-1]
        vocabulary, text_width = found["clip.token_embedding.weight"].shape
        image_hidden = found["clip.visual.transformer.resblocks.0.mlp.c_fc.bias"].shape[0]
        text_hidden = found["clip.transformer.resblocks.0.mlp.c_fc.bias"].shape[0]
        dimension = found["clip.text_projection"].shape[1]
        context = found["clip.positional_embedding"].shape[0]
    except (ValueError, IndexError) as error:
        raise CheckpointError(f"has weights of other shapes than DA-CLIP's: {error}") from error
    if grid**2 + 1 != patches or width % _HEAD_WIDTH or text_width % _HEAD_WIDTH:
        raise CheckpointError(
            f"has {patches} positions of width {width} and a text width of {text_width}; only square images "
            f"and multiples of {_HEAD_WIDTH} are known"
        )
    common = {"hidden_act": activation, "projection_dim": dimension}
    config = {
        "projection_dim": dimension,
        "vision_config": {
            **common,
            "hidden_size": width,
            "intermediate_size": image_hidden,
            "num_hidden_layers": image_layers,
            "num_attention_heads": width // _HEAD_WIDTH,
            "image_size": grid * patch_px,
            "patch_size": patch_px,
        },
        "text_config": {
            **common,
            "hidden_size": text_width,
            "intermediate_size": text_hidden,
            "num_hidden_layers": text_layers,
            "num_attention_heads": text_width // _HEAD_WIDTH,
            "vocab_size": vocabulary,
            "max_position_embeddings": context,
        },
    }
    try:
        clip = build_clip(config)
    except RecognitionError as error:
        raise CheckpointError(f"has shapes of which {error}") from error
    return clip, copy.deepcopy(clip_tower(clip))


def _transformer(
    found: Mapping[str, Tensor], prefix: str, blocks: str, layers: int, names: Mapping[str, str]
) -> dict[str, Tensor]:
    """Return one transformer's weights under the names of transformers."""
    state = {own: found[f"{prefix}{key}"] for key, own in names.items()}
    for index in range(layers):
        block, layer = f"{blocks}resblocks.{index}.", f"encoder.layers.{index}."
        for key, own in _BLOCK.items():
            for part in ("weight", "bias"):
                state[f"{layer}{own}.{part}"] = found[f"{block}{key}.{part}"]
        for part in ("weight", "bias"):
            projections = found[f"{block}attn.in_proj_{part}"].chunk(3)
            for letter, tensor in zip("qkv", projections, strict=False):
                state[f"{layer}self_attn.{letter}_proj.{part}"] = tensor
    return state


def _block_keys(blocks: str, layers: int) -> set[str]:
    inner = {f"{key}.{part}" for key in _BLOCK for part in ("weight", "bias")}
    inner |= {"attn.in_proj_weight", "attn.in_proj_bias"}
    return {f"{blocks}resblocks.{index}.{key}" for index in range(layers) for key in inner}


def _count_layers(found: Iterable[str], blocks: str) -> int:
    prefix = f"{blocks}resblocks."
    numbers = {key.removeprefix(prefix).partition(".")[0] for key in found if key.startswith(prefix)}
    # A gap shows as a missing weight and an unknown one.
    return max(1, len(numbers))
