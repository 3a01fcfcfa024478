"""Checkpoints: whole or not there, and read back before the previous one goes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from polyrestore.errors import OutputError, TrainingError
from polyrestore.files import atomic_path
from polyrestore.storage.tensors import read_tensors
from polyrestore.training.recipes.recipe import Recipe

PATTERN = "checkpoint-*.safetensors"
FORMAT = "polyrestore-checkpoint-2"
_REMEDY = "remove it"
_WITHOUT_EFFECT: Any = {
    **dict.fromkeys(
        ("name", "licence", "log_every", "validate_every", "checkpoint_every", "tensorboard"), True
    ),
    "data": {"provenance", "workers", "cache_mb"},
}


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to go on.

    Attributes:
        step: number of finished steps.
        tensors: tensors by group: "parameters", "average", "optimiser", "weighting".
        recipe: the recipe as JSON; a checkpoint of another recipe is refused.
    """

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    recipe: str


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Flatten an optimiser's state to "<parameter index>/<name>"."""
    state = optimiser.state_dict()["state"]
    return {f"{index}/{name}": value for index, entry in state.items() for name, value in entry.items()}


def load_optimiser_tensors(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put a flattened state back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/")
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int = 2) -> Path:
    """Write a checkpoint, read it back, then delete all but the newest ``keep``.

    Those of later steps are left over from a run that was started anew, and go as well.

    Raises:
        OutputError: the file cannot be written.
        TrainingError: what was read back differs; nothing is deleted.
    """
    path = folder / f"checkpoint-{checkpoint.step:08d}.safetensors"
    flat = {
        f"{group}:{name}": tensor.detach().cpu().contiguous()
        for group, tensors in checkpoint.tensors.items()
        for name, tensor in tensors.items()
    }
    metadata = {
        "format": FORMAT,
        "step": str(checkpoint.step),
        "recipe": checkpoint.recipe,
        "sha256": _checksum(flat, checkpoint.step, checkpoint.recipe),
    }
    with atomic_path(path) as temporary:
        try:
            save_file(flat, temporary, metadata)
        except SafetensorError as error:
            raise OutputError(f"cannot write the checkpoint {path}: {error}") from error
    written = read_tensors(path, TrainingError, _REMEDY).tensors
    if written.keys() != flat.keys() or any(not _same(written[name], flat[name]) for name in flat):
        raise TrainingError(f"checkpoint {path} differs from what was written; the older ones were kept")
    found = sorted(folder.glob(PATTERN))
    place = found.index(path)
    for old in (*found[: max(0, place + 1 - keep)], *found[place + 1 :]):
        old.unlink(missing_ok=True)
    return path


def _same(first: Tensor, second: Tensor) -> bool:
    return torch.equal(first.contiguous().view(-1).view(torch.uint8), second.view(-1).view(torch.uint8))


def _checksum(flat: Mapping[str, Tensor], step: int, recipe: str) -> str:
    digest = hashlib.sha256(f"{step}\n{recipe}\n".encode())
    for key in sorted(flat):
        tensor = flat[key].contiguous()
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load_newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, tuple[str, ...]]:
    """Read the newest whole checkpoint of a folder.

    Returns:
        The checkpoint, or None where the folder holds none; and a sentence for each newer one that is
        damaged and was passed over.

    Raises:
        TrainingError: there are checkpoints, and all of them are damaged.
    """
    messages: list[str] = []
    for path in sorted(folder.glob(PATTERN), reverse=True):
        try:
            checkpoint = load_checkpoint(path)
        except TrainingError as error:
            messages.append(str(error))
            continue
        return checkpoint, tuple(f"{message}; going on from the one before" for message in messages)
    if messages:
        raise TrainingError(f"{messages[0]}; there is no other one; start --fresh")
    return None, ()


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        TrainingError: the file is damaged, or no checkpoint of this version.
    """
    stored = read_tensors(path, TrainingError, _REMEDY)
    flat, metadata = stored.tensors, stored.notes
    if metadata.get("format") != FORMAT:
        raise TrainingError(f"{path} is not a checkpoint of this version")
    step, recipe = metadata.get("step", ""), metadata.get("recipe", "")
    if not step.isdigit() or metadata.get("sha256") != _checksum(flat, int(step), recipe):
        raise TrainingError(f"the checkpoint {path} is damaged: its content is not what was written")
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, value in stored.tensors.items():
        group, _, name = key.partition(":")
        tensors.setdefault(group, {})[name] = value
    return Checkpoint(int(step), tensors, recipe)


def same_recipe(saved: str, current: Recipe) -> bool:
    """Compare recipes but for what does not change the weights: names, intervals and speed.

    Args:
        saved: the recipe of a checkpoint, as JSON; a key that is not in it has its default.
        current: the recipe of the run.
    """
    try:
        recipe = type(current).model_validate_json(saved)
    except ValidationError:
        return False
    first, second = (each.model_dump(mode="json", exclude=_WITHOUT_EFFECT) for each in (recipe, current))
    return first == second
