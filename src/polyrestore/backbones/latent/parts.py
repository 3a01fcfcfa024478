"""What a latent diffusion model consists of here, read from files or drawn at random."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyrestore.backbones.latent.model_files import ModelFiles
from polyrestore.devices import require_memory
from polyrestore.errors import BackboneError, needs_extra

# Feature maps at full size that the VAE's decoder holds at once, each with its second width: measured.
_LIVE_MAPS = 4.0
_TINY_TOKENS = 5
_TINY_SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
}


@dataclass(frozen=True)
class Parts:
    """The networks of a model, and what they are told.

    Attributes:
        unet: diffusers' U-Net.
        vae: diffusers' VAE.
        prompt: the empty prompt: "prompt" (1, L, D), and "pooled_prompt" (1, P) for models that need it.
    """

    unet: Any
    vae: Any
    prompt: dict[str, Tensor]


@dataclass(frozen=True)
class Schedule:
    """The time steps of a model.

    Attributes:
        alphas: per time step, how much of the variance is the image's ("alphas_cumprod").
        prediction: what the U-Net predicts: "epsilon", "v_prediction" or "sample".
    """

    alphas: tuple[float, ...]
    prediction: str


def schedule_of(files: ModelFiles | None) -> Schedule:
    """Return the schedule of a model, or of the tiny one where there are no files.

    Raises:
        BackboneError: the model has none.
        MissingExtraError: diffusers is not installed.
    """
    with needs_extra("backbone 'latent'", "latent"):
        from diffusers import DDIMScheduler
    name, config = ("tiny", _TINY_SCHEDULE) if files is None else (files.name, files.configs["scheduler"])
    try:
        with torch.device("cpu"):
            alphas = tuple(DDIMScheduler.from_config(dict(config)).alphas_cumprod.tolist())
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        raise BackboneError(f"{name}: its scheduler has no schedule of noise levels: {error}") from error
    return Schedule(alphas, str(config.get("prediction_type", "epsilon")))


def load_parts(files: ModelFiles, dtype: torch.dtype, prompt: Mapping[str, Tensor] | None, px: int) -> Parts:
    """Load a model, after asking whether there is memory for it.

    Args:
        files: of the model.
        dtype: in which to hold the weights.
        prompt: the empty prompt where it is known; the model's text encoders are needed for it otherwise.
        px: side of the tiles that it will work on, for the estimate.

    Raises:
        DeviceMemoryError: it does not fit into memory.
        BackboneError: a file is missing or damaged.
        MissingExtraError: a library is not installed.
    """
    config = files.configs["vae"]
    weights = sum(files.parameters(part) for part in files.weights) * dtype.itemsize
    needed = weights + activation_bytes(config, px, dtype)
    require_memory(needed, torch.device("cpu"), f"{files.name} with a tile of {px} px")
    # First, because the text encoders are dropped afterwards.
    texts = empty_prompt(files) if prompt is None else dict(prompt)
    with needs_extra("backbone 'latent'", "latent"):
        from diffusers import AutoencoderKL, UNet2DConditionModel
    unet = _load(UNet2DConditionModel, files, "unet", dtype)
    return Parts(unet, _load(AutoencoderKL, files, "vae", dtype), texts)


def activation_bytes(vae_config: Mapping[str, Any], px: int, dtype: torch.dtype) -> int:
    """Estimate the memory beside the weights for a square of ``px``: the VAE's decoder takes the most."""
    widths = vae_config.get("block_out_channels", [64])
    return int(_LIVE_MAPS * widths[min(1, len(widths) - 1)] * px * px * dtype.itemsize)


def tiny_parts(dtype: torch.dtype) -> Parts:
    """Draw a model with some 50,000 weights: two levels each, an empty prompt of five tokens."""
    with needs_extra("backbone 'latent'", "latent"):
        from diffusers import AutoencoderKL, UNet2DConditionModel
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        mid_block_type=None,
        up_block_types=("UpBlock2D", "UpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
    )
    prompt = {"prompt": torch.randn(1, _TINY_TOKENS, 8)}
    for network in (unet, vae):
        # Past diffusers' own method, which has a word to say about every cast.
        nn.Module.to(network, dtype)
    return Parts(unet, vae, prompt)


def empty_prompt(files: ModelFiles) -> dict[str, Tensor]:
    """Run a model's text encoders on the empty prompt.

    One encoder: its last layer's output. Two, as SDXL has them: the layers before the last side by side, and
    the second one's pooled output (Podell et al., arXiv 2307.01952, section 2.1).

    Raises:
        BackboneError: an encoder or a tokenizer is missing or damaged.
        MissingExtraError: transformers is not installed.
    """
    with needs_extra("backbone 'latent'", "latent"):
        from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
    wide = files.configs["unet"].get("addition_embed_type") == "text_time"
    kinds = (CLIPTextModel, CLIPTextModelWithProjection) if wide else (CLIPTextModel,)
    states: list[Tensor] = []
    pooled: Tensor | None = None
    for kind, ending in zip(kinds, ("", "_2"), strict=False):
        place = files.folder / f"text_encoder{ending}"
        for needed in (place, files.folder / f"tokenizer{ending}"):
            if not needed.is_dir():
                raise BackboneError(f"{files.name}: {needed.name} is missing, which embeds the empty prompt")
        with _one_line(files.name, place), _quiet(), torch.inference_mode():
            tokenizer = CLIPTokenizer.from_pretrained(
                files.folder / f"tokenizer{ending}", local_files_only=True
            )
            _require_text_memory(place)
            encoder = kind.from_pretrained(place, local_files_only=True, dtype=torch.float32, **_text(place))
            length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
            tokens = tokenizer(
                "", padding="max_length", max_length=length, truncation=True, return_tensors="pt"
            )
            output = encoder.eval()(tokens.input_ids, output_hidden_states=True)
            states.append(output.hidden_states[-2] if wide else output.last_hidden_state)
            pooled = output.text_embeds if wide and ending else None
    found = {"prompt": torch.cat(states, dim=-1).clone()}
    return found if pooled is None else {**found, "pooled_prompt": pooled.clone()}


def _text(place: Path) -> dict[str, Any]:
    plain = (place / "model.safetensors").is_file() or (place / "model.safetensors.index.json").is_file()
    return {"use_safetensors": True} | ({} if plain else {"variant": "fp16"})


def _require_text_memory(place: Path) -> None:
    # Half the size of some files: they hold float16 and are run in float32.
    size = max((path.stat().st_size for path in place.glob("*.safetensors")), default=0)
    require_memory(2 * size, torch.device("cpu"), f"{place}")


def _load(kind: Any, files: ModelFiles, part: str, dtype: torch.dtype) -> nn.Module:
    place = files.folder / part
    with _one_line(files.name, place), _quiet():
        network, report = kind.from_pretrained(
            place,
            variant=files.variants[part] or None,
            use_safetensors=True,
            local_files_only=True,
            torch_dtype=dtype,
            output_loading_info=True,
        )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if report.get(problem):
            first = min(map(str, report[problem]))
            raise BackboneError(f"{files.name}: the weights of {part} do not fit it: {problem}: {first}")
    for key, value in network.named_parameters():
        if not bool(torch.isfinite(value).all()):
            raise BackboneError(f"{files.name}: {part}.{key} holds values that are not finite")
    assert isinstance(network, nn.Module)
    return network


@contextlib.contextmanager
def _one_line(name: str, place: Path) -> Iterator[None]:
    try:
        yield
    except BackboneError:
        raise
    except Exception as error:
        # Both libraries raise anything at all for a file that is missing, cut short or of another model.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BackboneError(f"{name}: {place.name} cannot be loaded: {reason}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' progress bars out of the output of commands."""
    from diffusers.utils import logging as of_diffusers

    bars = [of_diffusers]
    with contextlib.suppress(ImportError):
        from transformers.utils import logging as of_transformers

        bars.append(of_transformers)
    for each in bars:
        each.disable_progress_bar()
    try:
        yield
    finally:
        for each in bars:
            each.enable_progress_bar()
