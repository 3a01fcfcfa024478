"""The backbone: VAE encoder, U-Net, VAE decoder, with skip connections around the latent."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.base import AdaptableLayers, Backbone, BackboneDescription
from polyrestore.backbones.bounds import OfTheNetwork, Switch, Text
from polyrestore.backbones.capabilities import BaseReference
from polyrestore.backbones.latent.model_files import ModelFiles, check_reference, find_model, is_model
from polyrestore.backbones.latent.parts import Parts, load_parts, schedule_of, tiny_parts
from polyrestore.errors import BackboneError

TINY = "tiny"
"""In place of a model: a small one of random weights, to try and to test."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_BASE = ("unet.", "vae.")
_TILE_PX = 512
_COLOUR_CELL_PX = 16
# Where img2img-turbo puts its LoRAs (Parmar et al., arXiv 2403.12036, released code), but for the U-Net's
# feed-forward parts and the convolutions that change its resolution.
_ALIKE = ("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "conv_shortcut")
_UNET_LAYERS = (*_ALIKE, "proj_in", "proj_out")
_VAE_LAYERS = (*_ALIKE, "conv_in", "conv_out", "conv")


class Latent(Backbone):
    """A latent diffusion model such as SD-Turbo, SD 1.5, SD 2.1 or SDXL-Turbo, frozen, in one step.

    The image is encoded (the mode of the VAE's distribution), taken for the noisy latent at one time step,
    and what the U-Net then predicts as the noise-free latent under the empty prompt is decoded. Zero 1x1
    convolutions lead from the VAE's encoder to its decoder, so that detail need not pass through the latent;
    both as in img2img-turbo (Parmar et al., arXiv 2403.12036). UIR-LoRA (arXiv 2409.20197) trains a LoRA per
    degradation beside such a model.

    The model's weights (``unet.*`` and ``vae.*``, named as in diffusers) are never trained and are in no
    bundle: it names the model and holds its SHA-256. A bundle has the skips and the empty prompt's embedding,
    so that no text encoder is needed to use it.

    In several steps, the latent goes down N evenly spaced time steps by DDIM without noise (Song et al., ICLR
    2021, arXiv 2010.02502, eq. 12 with sigma = 0) on the model's own noise schedule. The samplers that many
    of these models come with draw noise, which would differ between neighbouring tiles.

    Self-attention and group normalisation see a whole tile, so tiles only come near to the whole image.

    Args:
        model: a folder in diffusers' layout, a name on the Hugging Face hub, or "tiny". A folder that was
            moved is also found by its last part in the folder that POLYRESTORE_MODELS names.
        timestep: where the image is taken to be on the way from 0 (an image) to noise; the last one where
            None, as in img2img-turbo. Small ones start nearer to the identity.
        steps: how many times the U-Net is run.
        skips: whether there are skip connections.
        keep_colour: give the result the input's means over 16 px, interpolated between. It undoes the shift
            of tones that a VAE brings, where the degradation has left the tones alone: noise, JPEG, blur,
            rain, missing detail. Leave it off wherever light or colour must change: low light, haze, shadows,
            and missing pixels in large holes.
        dtype: "float32" or, at half the memory, "bfloat16".
        variant: of the model's weight files, such as "fp16".
        prompt: the empty prompt's embedding where it is known; else the model's text encoders are run.

    Raises:
        BackboneError: an option is out of range, or the model is missing, unusable or too large.
    """

    tiny_options: ClassVar[Mapping[str, Any]] = {"model": TINY}
    padding_mode = "reflect"
    bounds = {
        "model": Text(),
        "timestep": OfTheNetwork(),
        "steps": OfTheNetwork(),
        "skips": Switch(),
        "keep_colour": Switch(),
        "dtype": Text(),
        "variant": Text(),
        "prompt": OfTheNetwork(),
    }
    unet: Any
    vae: Any
    prompt: Tensor
    pooled_prompt: Tensor

    def __init__(
        self,
        model: str,
        timestep: int | None = None,
        steps: int = 1,
        skips: bool = True,
        keep_colour: bool = False,
        dtype: str = "float32",
        variant: str = "",
        prompt: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        if dtype not in _DTYPES:
            raise BackboneError(f"dtype must be one of {', '.join(_DTYPES)}, not {dtype!r}")
        self._dtype = _DTYPES[dtype]
        self._files: ModelFiles | None = None if model == TINY else find_model(model, variant)
        schedule = schedule_of(self._files)
        self._alphas, self._prediction = schedule.alphas, schedule.prediction
        last = len(self._alphas) - 1
        self._timestep = self._checked(last if timestep is None else timestep, "timestep", 1, last)
        self.keep_colour = keep_colour
        self.options = {
            "model": TINY if self._files is None else self._files.name,
            "timestep": self._timestep,
            "steps": 1,
            "skips": skips,
            "keep_colour": keep_colour,
            "dtype": dtype,
            "variant": variant,
        }
        self.use_steps(steps)
        if self._prediction == "epsilon" and self._alphas[self._timestep] < 1e-6:
            raise BackboneError(
                f"nothing of an image is left at timestep {self._timestep}; take a smaller one"
            )
        if self._files is None:
            parts = tiny_parts(self._dtype)
        else:
            # Last, because it may take minutes.
            parts = load_parts(self._files, self._dtype, prompt, _TILE_PX)
        self.unet, self.vae = parts.unet.eval(), parts.vae.eval()
        self._check_prompt(parts)
        for key, embedding in parts.prompt.items():
            self.register_buffer(key, embedding.to(self._dtype))
        self.skips = nn.ModuleList(_skip_layers(self.vae) if skips else ()).to(self._dtype)
        levels = len(self.vae.config.block_out_channels) + len(self.unet.config.block_out_channels)
        multiple = 2 ** (levels - 2)
        self.description = BackboneDescription(
            name="latent",
            size_multiple=multiple,
            minimum_size_px=multiple,
            # Where tiles overlap they are blended; the attention has no radius.
            receptive_radius_px=max(multiple, _COLOUR_CELL_PX),
            global_context=False,
            dtypes=(torch.float32, torch.bfloat16),
            exact_tiles=False,
            tile_px=_TILE_PX,
        )
        self.requires_grad_(True)

    @classmethod
    def model_options(cls, source: str) -> dict[str, Any] | None:
        """Return the option that names a folder in diffusers' layout, or a model on the hub."""
        return {"model": source} if is_model(source) else None

    @classmethod
    def other_options(cls) -> dict[str, Any]:
        """Return all options but the model; a user has no embedding of the prompt to give."""
        given = inspect.signature(cls).parameters.values()
        return {each.name: each.default for each in given if each.name not in ("model", "prompt")}

    @classmethod
    def known_options(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the empty prompt's embedding."""
        known = {key: tensors[key] for key in ("prompt", "pooled_prompt") if key in tensors}
        return {"prompt": known} if known else {}

    @classmethod
    def check_reference(cls, options: Mapping[str, Any], expected: BaseReference) -> None:
        """Check, before anything is loaded, that the model is the expected one; its files are hashed."""
        check_reference(str(options.get("model", "")), str(options.get("variant", "")), expected)

    def reference(self) -> BaseReference | None:
        """Return the model and its SHA-256; None for the tiny one, whose weights are its own."""
        return None if self._files is None else self._files.reference()

    def external_keys(self) -> frozenset[str]:
        """Return the keys of U-Net and VAE; none for the tiny model."""
        if self._files is None:
            return frozenset()
        tensors = (*self.named_parameters(), *self.named_buffers())
        return frozenset(key.replace(".base_layer.", ".") for key, _ in tensors if key.startswith(_BASE))

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let the network's own parameters be trained; another model's, which no bundle keeps, never are."""
        super().requires_grad_(requires_grad)
        if self._files is not None:
            self.unet.requires_grad_(False)
            self.vae.requires_grad_(False)
        return self

    def use_steps(self, steps: int) -> None:
        """Run the U-Net so many times, at evenly spaced time steps; adapters are at home in one number."""
        self._checked(steps, "steps", 1, self._timestep)
        self._descent = [round(self._timestep * (steps - index) / steps) for index in range(steps)]
        self.options["steps"] = self.steps = steps

    def output_layer(self) -> nn.Conv2d:
        """Return the decoder's last convolution."""
        layer: nn.Conv2d = self.vae.decoder.conv_out
        return layer

    def moving_state(self) -> dict[str, Tensor]:
        """Return nothing: the empty prompt stays what it is."""
        return {}

    def adaptable_layers(self) -> AdaptableLayers:
        """Return attention, projections and convolutions of both networks, and the skips."""
        paths = [path for path, _ in self.named_modules()]
        updated = [
            *_ending(paths, "unet.", _UNET_LAYERS),
            *_ending(paths, "vae.", _VAE_LAYERS),
            *(f"skips.{index}" for index in range(len(self.skips))),
        ]
        paralleled = [
            *_ending(paths, "unet.", ("conv2",)),
            *_ending(paths, "vae.decoder.", ("conv2",)),
            *(f"skips.{index}" for index in range(len(self.skips))),
        ]
        return AdaptableLayers(updated=tuple(updated), paralleled=tuple(paralleled))

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Restore images (B, 3, H, W), RGB in [0, 1], of any size; not clipped."""
        height, width = image.shape[-2:]
        padded = self.pad(image)
        latent, kept = self._encode(padded.to(self._dtype) * 2 - 1)
        restored = (self._decode(self._denoise(latent), kept).to(image.dtype) + 1) / 2
        if self.keep_colour:
            restored = restored + _tones(padded - restored)
        return restored[..., :height, :width]

    def _encode(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the scaled mode of the latent, and what goes into each of the encoder's levels."""
        encoder, features, kept = self.vae.encoder, self.vae.encoder.conv_in(image), []
        for block in encoder.down_blocks:
            kept.append(features)
            features = block(features)
        features = encoder.conv_act(encoder.conv_norm_out(encoder.mid_block(features)))
        moments = encoder.conv_out(features)
        if self.vae.quant_conv is not None:
            moments = self.vae.quant_conv(moments)
        shift, scale = self._scaling()
        return (moments.chunk(2, dim=1)[0] - shift) * scale, kept

    def _decode(self, latent: Tensor, kept: list[Tensor]) -> Tensor:
        shift, scale = self._scaling()
        latent = (latent / scale + shift).to(self._dtype)
        if self.vae.post_quant_conv is not None:
            latent = self.vae.post_quant_conv(latent)
        decoder = self.vae.decoder
        features = decoder.mid_block(decoder.conv_in(latent))
        for index, block in enumerate(decoder.up_blocks):
            if len(self.skips):
                features = features + self.skips[index](kept[-1 - index])
            features = block(features)
        output: Tensor = decoder.conv_out(decoder.conv_act(decoder.conv_norm_out(features)))
        return output

    def _scaling(self) -> tuple[float, float]:
        config = self.vae.config
        return config.get("shift_factor") or 0.0, config.scaling_factor

    def _denoise(self, latent: Tensor) -> Tensor:
        """Take the latent (B, C, h, w) down the time steps, and return the last noise-free prediction."""
        known = self._conditions(len(latent))
        for now, after in zip(self._descent, [*self._descent[1:], None], strict=True):
            predicted = self.unet(latent, torch.tensor(now, device=latent.device), **known).sample
            clean, noise = self._split(latent.float(), predicted.float(), self._alphas[now])
            if after is None:
                break
            level = self._alphas[after]
            latent = (math.sqrt(level) * clean + math.sqrt(1 - level) * noise).to(self._dtype)
        return clean

    def _split(self, latent: Tensor, predicted: Tensor, level: float) -> tuple[Tensor, Tensor]:
        """Return the noise-free latent and the noise that a prediction means at a level (alpha-bar)."""
        signal, spread = math.sqrt(level), math.sqrt(1 - level)
        if self._prediction == "sample":
            return predicted, (latent - signal * predicted) / spread
        if self._prediction == "v_prediction":
            # Salimans and Ho, ICLR 2022, arXiv 2202.00512, appendix D.
            return signal * latent - spread * predicted, signal * predicted + spread * latent
        return (latent - spread * predicted) / signal, predicted

    def _conditions(self, batch: int) -> dict[str, Any]:
        known: dict[str, Any] = {"encoder_hidden_states": self.prompt.expand(batch, -1, -1)}
        if self._is_wide:
            # The size that the model was trained for, whatever the tile: it means "of full quality" there.
            size = self.unet.config.sample_size
            rows, columns = (size, size) if isinstance(size, int) else size
            factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
            place = [rows * factor, columns * factor, 0, 0, rows * factor, columns * factor]
            times = torch.tensor([place] * batch, dtype=self._dtype, device=self.prompt.device)
            known["added_cond_kwargs"] = {
                "text_embeds": self.pooled_prompt.expand(batch, -1),
                "time_ids": times,
            }
        return known

    @property
    def _is_wide(self) -> bool:
        return bool(self.unet.config.addition_embed_type == "text_time")

    def _check_prompt(self, parts: Parts) -> None:
        expected = self.unet.config.cross_attention_dim
        found = parts.prompt["prompt"].shape[-1] if "prompt" in parts.prompt else 0
        if found != expected or ("pooled_prompt" in parts.prompt) != self._is_wide:
            raise BackboneError(f"the empty prompt has {found} channels, but the U-Net reads {expected}")

    @staticmethod
    def _checked(value: int, name: str, least: int, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise BackboneError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
        return value


def _skip_layers(vae: Any) -> list[nn.Module]:
    """Return zero 1x1 convolutions from what enters the encoder's levels to what enters the decoder's."""
    widths = list(vae.config.block_out_channels)
    entering = [widths[0], *widths[:-1]]
    leaving = [widths[-1], *widths[:0:-1]]
    layers: list[nn.Module] = []
    for inputs, outputs in zip(reversed(entering), leaving, strict=True):
        layer = nn.Conv2d(inputs, outputs, 1, bias=False)
        nn.init.zeros_(layer.weight)
        layers.append(layer)
    return layers


def _ending(paths: list[str], start: str, names: tuple[str, ...]) -> list[str]:
    endings = tuple(f".{name}" for name in names)
    return [path for path in paths if path.startswith(start) and path.endswith(endings)]


def _tones(image: Tensor) -> Tensor:
    """Return the means over squares of (B, 3, H, W), interpolated to full size."""
    cells = functional.avg_pool2d(image, _COLOUR_CELL_PX, ceil_mode=True, count_include_pad=False)
    return functional.interpolate(cells, image.shape[-2:], mode="bilinear", align_corners=False)
