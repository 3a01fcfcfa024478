import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from polyrestore.training.recognition import validation

PRETRAINING = """
phase = "pretraining"
name = "tiny"
seed = 5
steps = 6
backbone = "compact"
log_every = 1
validate_every = 3
checkpoint_every = 2

[backbone_options]
width = 8
encoder_blocks = [1]
middle_blocks = 1
decoder_blocks = [1]
context_dim = 8

[data]
clean = ["clean"]
validation = "validation"
patch_px = 32
batch_size = 4
provenance = ["generated images, public domain"]

[synthesis]
tasks = ["noise", "jpeg", "low_light"]

[optimiser]
warmup_steps = 2

[weighting]
name = "art"
"""


def write_image(path: Path, seed: int, size: tuple[int, int] = (56, 48)) -> None:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((1, 3, 6, 6), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)
    pixels = (smooth[0].permute(1, 2, 0) * 255).round().byte().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def toml_value(value: object) -> str:
    """Write a value as TOML has it inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(each) for each in value) + "]"
    return json.dumps(value)


@pytest.fixture(autouse=True)
def few_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a recogniser be validated on one drawing of each kind."""
    monkeypatch.setattr(validation, "_DRAWINGS_OF_A_KIND", 1)


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """A folder with a tiny recipe and generated images."""
    for index in range(4):
        write_image(tmp_path / "clean" / f"{index}.png", index)
    for index in range(3):
        write_image(tmp_path / "validation" / f"{index}.png", 100 + index)
    (tmp_path / "pretraining.toml").write_text(PRETRAINING)
    return tmp_path
