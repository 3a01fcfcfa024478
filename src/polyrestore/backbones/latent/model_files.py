"""A latent diffusion model in diffusers' layout: found, checked and hashed before any weight is loaded."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from polyrestore.backbones.capabilities import BaseReference
from polyrestore.errors import BackboneError, needs_extra
from polyrestore.files import read_text, sha256_of
from polyrestore.storage.hub import fetch_snapshot, is_hub_name
from polyrestore.storage.tensors import read_shapes

MODELS_VARIABLE = "POLYRESTORE_MODELS"
"""Environment variable with a folder in which models are looked for by the last part of their name."""

_REMEDY = "download the model again"
_CLASSES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
_PREDICTIONS = ("epsilon", "v_prediction", "sample")
_STEM = "diffusion_pytorch_model"


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model that are needed, known to be there.

    Attributes:
        name: as the user gave it; a folder is made absolute.
        folder: where the files are.
        variants: by component, which variant of the weights there is, such as "fp16"; often "".
        weights: by component, the safetensors files.
        configs: by component, the content of its configuration.
    """

    name: str
    folder: Path
    variants: dict[str, str]
    weights: dict[str, tuple[Path, ...]]
    configs: dict[str, dict[str, Any]]

    @property
    def size_bytes(self) -> int:
        """Of the weight files."""
        return sum(path.stat().st_size for paths in self.weights.values() for path in paths)

    def parameters(self, component: str) -> int:
        """Return how many numbers a component's weights hold, from the heads of the files."""
        return sum(
            math.prod(shape)
            for path in self.weights[component]
            for shape in read_shapes(path, BackboneError, _REMEDY).values()
        )

    def reference(self) -> BaseReference:
        """Return the model's name, size and SHA-256.

        Hashed are the SHA-256 of each weight file of U-Net and VAE and the configurations of these and of the
        scheduler, without what diffusers notes there for itself: whatever decides about a result.
        """
        lines = [f"{part} {_sha256(path)}" for part, paths in self.weights.items() for path in paths]
        for part, config in self.configs.items():
            plain = {key: value for key, value in config.items() if not key.startswith("_")}
            lines.append(f"{part} {json.dumps(plain, sort_keys=True)}")
        digest = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
        return BaseReference(self.name, digest, self.size_bytes)


def find_model(model: str, variant: str = "") -> ModelFiles:
    """Find a model's files, and check that a U-Net, a VAE and a scheduler of a known kind are among them.

    Args:
        model: a folder, or a name on the Hugging Face hub ("stabilityai/sd-turbo").
        variant: of the weights, "fp16" for instance; "" takes the plain ones, or "fp16" where there are none.

    Raises:
        BackboneError: it cannot be found, is no such model, or is of a kind that this backbone cannot use.
    """
    name, folder = _locate(model, variant)
    configs = {part: _config(model, folder, part) for part in _CLASSES}
    configs["scheduler"] = _read_json(model, folder / "scheduler" / "scheduler_config.json")
    _check_kind(model, configs)
    found = {part: _weights(model, folder / part, variant) for part in _CLASSES}
    return ModelFiles(
        name=name,
        folder=folder,
        variants={part: entry[0] for part, entry in found.items()},
        weights={part: entry[1] for part, entry in found.items()},
        configs=configs,
    )


def is_model(source: str) -> bool:
    """Say whether a folder is laid out as diffusers does, or a name could be one on a hub."""
    folder = Path(source)
    if folder.is_dir():
        return (folder / "model_index.json").is_file() or (folder / "unet").is_dir()
    return not folder.exists() and not folder.suffix and is_hub_name(source)


def check_reference(model: str, variant: str, expected: BaseReference) -> None:
    """Check that a model is the one that was referred to: its size first, then its SHA-256.

    Raises:
        BackboneError: it is missing, none of diffusers', or another one.
    """
    files = find_model(model, variant)
    problem = ""
    if files.size_bytes != expected.size_bytes:
        problem = f"its weights have {files.size_bytes} bytes instead of {expected.size_bytes}"
    else:
        found = files.reference().sha256
        if found != expected.sha256:
            problem = f"its SHA-256 is {found[:12]}..., not {expected.sha256[:12]}..."
    if problem:
        raise BackboneError(f"{files.folder} is another base model than the one asked for: {problem}")


def _locate(model: str, variant: str) -> tuple[str, Path]:
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder.resolve()), folder.resolve()
    places = os.environ.get(MODELS_VARIABLE)
    if places and (Path(places) / folder.name).is_dir():
        return model, Path(places) / folder.name
    if not is_hub_name(model):
        raise BackboneError(
            f"there is no model folder {model}; give a folder in diffusers' layout or a name on the hub, or "
            f"let {MODELS_VARIABLE} name the folder that holds {folder.name!r}"
        )
    return model, _from_hub(model, variant)


def _from_hub(model: str, variant: str) -> Path:
    ending = f".{variant}.safetensors" if variant else ".safetensors"
    wanted = ["model_index.json", "*/*.json", "tokenizer*/*", f"*/*{ending}"]

    def refuse(reason: str) -> BackboneError:
        return BackboneError(
            f"there is no folder {model}, and the hub does not give a model of that name ({reason}); without "
            f"a connection give a folder, or let {MODELS_VARIABLE} name the folder that holds it"
        )

    with needs_extra("backbone 'latent'", "latent"):
        return fetch_snapshot(model, wanted, refuse, unwanted=() if variant else ("*.fp16.safetensors",))


def _config(model: str, folder: Path, part: str) -> dict[str, Any]:
    config = _read_json(model, folder / part / "config.json")
    found = config.get("_class_name")
    if found != _CLASSES[part]:
        raise BackboneError(f"{model}: its {part} is a {found}, not a {_CLASSES[part]}")
    return config


def _read_json(model: str, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path))
    except OSError as error:
        raise BackboneError(
            f"{model} is no diffusion model in diffusers' layout: {path.parent.name}/{path.name} cannot be "
            f"read ({error.strerror})"
        ) from error
    except ValueError as error:
        raise BackboneError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise BackboneError(f"{path} must hold a JSON object")
    return content


def _check_kind(model: str, configs: dict[str, dict[str, Any]]) -> None:
    unet, vae, scheduler = configs["unet"], configs["vae"], configs["scheduler"]
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in _PREDICTIONS or "FlowMatch" in str(scheduler.get("_class_name")):
        raise BackboneError(
            f"{model}: its network predicts {prediction!r} under a {scheduler.get('_class_name')}; only "
            f"{', '.join(_PREDICTIONS)} under a schedule of noise levels can be used"
        )
    channels = vae.get("latent_channels", 4)
    if (unet.get("in_channels", 4), unet.get("out_channels", 4)) != (channels, channels):
        raise BackboneError(
            f"{model}: its U-Net maps {unet.get('in_channels')} to {unet.get('out_channels')} channels and "
            f"the latent has {channels}; models for inpainting or upscaling cannot be used"
        )
    for key in ("class_embed_type", "num_class_embeds", "encoder_hid_dim_type"):
        if unet.get(key) is not None:
            raise BackboneError(f"{model}: its U-Net needs a condition that no photograph gives ({key})")
    if unet.get("addition_embed_type") not in (None, "text_time"):
        raise BackboneError(f"{model}: conditions of type {unet['addition_embed_type']!r} are not supported")


def _weights(model: str, folder: Path, variant: str) -> tuple[str, tuple[Path, ...]]:
    for name in (variant,) if variant else ("", "fp16"):
        dotted = f".{name}" if name else ""
        single = folder / f"{_STEM}{dotted}.safetensors"
        index = folder / f"{_STEM}.safetensors.index{dotted}.json"
        if single.is_file():
            paths: tuple[Path, ...] = (single,)
        elif index.is_file():
            parts = _read_json(model, index).get("weight_map", {})
            paths = tuple(folder / part for part in sorted(set(parts.values())))
        else:
            continue
        for path in paths:
            if not path.is_file():
                raise BackboneError(f"{model}: {folder.name}/{path.name} is missing; download it again")
            read_shapes(path, BackboneError, _REMEDY)
        return name, paths
    wanted = f"{_STEM}{f'.{variant}' if variant else ''}.safetensors"
    raise BackboneError(
        f"{model}: {folder.name}/{wanted} is missing; pickled weights are not read, save them as safetensors"
    )


def _sha256(path: Path) -> str:
    state = path.stat()
    return _sha256_of_state(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256_of_state(path: Path, size: int, mtime_ns: int) -> str:
    # Gigabytes: a file is read once a process, as long as nobody writes to it.
    return sha256_of(path)
