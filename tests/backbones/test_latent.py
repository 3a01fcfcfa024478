"""The latent backbone on tiny models on disk: what it computes, learns, and refuses."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from polyrestore.adapters import AdapterBank, LoraConfig, load_adapter, save_adapter
from polyrestore.backbones import Backbone, build_backbone
from polyrestore.backbones.latent import Latent, model_files, parts
from polyrestore.errors import (
    AdapterError,
    BackboneError,
    DeviceMemoryError,
    MissingExtraError,
)
from polyrestore.restoration.tiling import run_tiled
from polyrestore.runtimes.torch import TorchRuntime
from tests.support.latent_models import offline, save_model
from tests.support.networks import random_image


def latent(model: str | Path, **options: object) -> Latent:
    backbone = build_backbone("latent", model=str(model), **options).eval()
    assert isinstance(backbone, Latent)
    return backbone


def by_diffusers(model: Path, image: Tensor, timesteps: Sequence[int], prediction: str) -> Tensor:
    """The same as diffusers' own classes compute it, step by step."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    unet = UNet2DConditionModel.from_pretrained(model, subfolder="unet").eval()
    vae = AutoencoderKL.from_pretrained(model, subfolder="vae").eval()
    schedule = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction,
        clip_sample=False, set_alpha_to_one=False,
    )  # fmt: skip
    schedule.set_timesteps(5)
    tokens = CLIPTokenizer.from_pretrained(model, subfolder="tokenizer")(
        "", padding="max_length", max_length=6, return_tensors="pt"
    )
    prompt = CLIPTextModel.from_pretrained(model, subfolder="text_encoder").eval()(tokens.input_ids)[0]
    code = vae.encode(image * 2 - 1).latent_dist.mode() * vae.config.scaling_factor
    for now in timesteps:
        step = schedule.step(unet(code, now, prompt.expand(len(code), -1, -1)).sample, now, code)
        code = step.prev_sample
    restored: Tensor = (vae.decode(step.pred_original_sample / vae.config.scaling_factor).sample + 1) / 2
    return restored


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_one_step_and_several_are_those_of_diffusers(tmp_path: Path, prediction: str) -> None:
    model = save_model(tmp_path / "model", prediction=prediction)
    backbone, image = latent(model, timestep=800), random_image(32, 40, batch=2)
    with torch.no_grad():
        one = by_diffusers(model, image, [800], prediction)
        torch.testing.assert_close(backbone(image), one, atol=1e-5, rtol=1e-4)
        backbone.use_steps(4)
        four = by_diffusers(model, image, [800, 600, 400, 200], prediction)
        torch.testing.assert_close(backbone(image), four, atol=1e-5, rtol=1e-4)
    assert (backbone.steps, backbone.options["steps"]) == (4, 4)
    assert not torch.allclose(one, four, atol=1e-4)


def test_sdxl_is_told_its_size_and_reads_both_text_encoders(sdxl: Path) -> None:
    backbone, image = latent(sdxl), random_image(32, 32)
    assert backbone.prompt.shape == (1, 6, 16)
    assert backbone.pooled_prompt.shape == (1, 8)
    with torch.no_grad():
        before = backbone(image)
        backbone.pooled_prompt += 1
        assert not torch.equal(backbone(image), before)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_size_in_is_size_out(sd: Path, height: int, width: int) -> None:
    backbone = test_size_in_is_size_out.__dict__.setdefault("backbone", latent(sd, keep_colour=True))
    with torch.no_grad():
        restored = backbone(torch.rand(1, 3, height, width))
    assert restored.shape == (1, 3, height, width)
    assert torch.isfinite(restored).all()


def test_skips_begin_as_nothing_and_carry_detail_once_they_are_trained(sd: Path) -> None:
    with_skips, without, image = latent(sd), latent(sd, skips=False), random_image(32, 40)
    with torch.no_grad():
        assert torch.equal(with_skips(image), without(image))
        with_skips.get_parameter("skips.1.weight").add_(0.1)
        assert not torch.equal(with_skips(image), without(image))
    assert len(without.skips) == 0
    # The base model is never trained; the skips are.
    trained = {name for name, each in with_skips.train().named_parameters() if each.requires_grad}
    assert trained == {"skips.0.weight", "skips.1.weight"}


def test_keep_colour_gives_the_tones_of_the_input(sd: Path) -> None:
    image = random_image(64, 64)
    with torch.no_grad():
        free, kept = latent(sd)(image), latent(sd, keep_colour=True)(image)
    tones = functional.avg_pool2d(image, 16)
    assert (functional.avg_pool2d(kept, 16) - tones).abs().max() < 0.1
    assert (functional.avg_pool2d(free, 16) - tones).abs().max() > 0.2
    # What is finer than the squares is the network's.
    fine = free - functional.interpolate(functional.avg_pool2d(free, 16), 64, mode="bilinear")
    assert (kept - functional.interpolate(tones, 64, mode="bilinear") - fine).abs().max() < 0.1


def test_bfloat16_stays_near_float32(sd: Path) -> None:
    image = random_image(32, 32)
    with torch.no_grad():
        half = latent(sd, dtype="bfloat16", timestep=400)
        assert half.unet.conv_in.weight.dtype == torch.bfloat16
        difference = half(image) - latent(sd, timestep=400)(image)
    assert half(image).dtype == torch.float32
    assert 0 < difference.abs().mean() < 0.02


def trained_bank(
    backbone: Backbone, names: Sequence[str], steps: int = 30
) -> tuple[AdapterBank, list[float]]:
    """Train LoRAs, each on its own fixed batch, and return the bank and the losses before and after."""
    bank, clean = AdapterBank(backbone), random_image(32, 32, batch=2, seed=3)
    losses = []
    for index, name in enumerate(names):
        degraded = clean + 0.2 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(index))
        bank.create(name, LoraConfig(rank=4, alpha=8.0), torch.Generator().manual_seed(index))
        bank.activate({name: 1.0})
        optimiser = torch.optim.Adam(bank.parameters(name), lr=3e-3)
        for _ in range(steps):
            loss = functional.l1_loss(backbone(degraded), clean)
            losses.append(float(loss.detach()))
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    return bank, losses


def test_loras_learn_are_read_by_peft_and_compose(sd: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    backbone, images = latent(sd), random_image(32, 40, batch=3)
    base = {key: value.clone() for key, value in backbone.state_dict().items()}
    bank, losses = trained_bank(backbone, ("noise", "rain"))
    assert losses[29] < 0.7 * losses[0]
    assert losses[-1] < 0.7 * losses[30]
    save_adapter(tmp_path / "noise", bank.export("noise"), str(sd))
    with torch.no_grad():
        bank.activate({"noise": 1.0})
        noise = backbone(images)
        by_peft = PeftModel.from_pretrained(latent(sd), tmp_path / "noise").eval()
        torch.testing.assert_close(by_peft(images), noise, atol=1e-5, rtol=1e-5)
        both = {"noise": 0.6, "rain": 0.4}
        bank.activate(both)
        mixed = backbone(images)
        bank.merge(both)
        torch.testing.assert_close(backbone(images), mixed, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(mixed, noise, atol=1e-3)
        bank.activate_per_sample([{"noise": 1.0}, {}, both])
        together = backbone(images)
        for index, weights in enumerate(({"noise": 1.0}, {}, both)):
            bank.activate(weights)
            alone = backbone(images[index : index + 1])
            torch.testing.assert_close(together[index : index + 1], alone, atol=1e-5, rtol=1e-5)
    # Paths as in diffusers' pipelines, and the skips among them; the base is as it came.
    config = json.loads((tmp_path / "noise" / "adapter_config.json").read_text())
    targets = set(bank.config("noise").targets or ())
    assert config["base_model_name_or_path"] == str(sd)
    assert {path.split(".")[0] for path in targets} == {"unet", "vae", "skips"}
    bank.detach()
    assert all(torch.equal(backbone.state_dict()[key], value) for key, value in base.items())
    assert not any(each.requires_grad for each in backbone.unet.parameters())


def test_diffusers_own_unet_takes_the_lora(sd: Path) -> None:
    backbone = latent(sd, timestep=400)
    bank = AdapterBank(backbone)
    # diffusers takes alpha for the rank where it is told nothing.
    bank.create("noise", LoraConfig(rank=4, alpha=4.0), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in bank.parameters("noise"):
            parameter.add_(0.02)
    tensors = {key: value for key, value in bank.export("noise").tensors.items() if key.startswith("unet.")}
    other = latent(sd).unet
    code, now = torch.randn(1, 4, 8, 8, generator=torch.Generator()), torch.tensor(400)
    with torch.no_grad():
        bare = other(code, now, backbone.prompt).sample
        other.load_lora_adapter(tensors, prefix="unet")
        bank.activate({"noise": 1.0})
        adapted = backbone.unet(code, now, backbone.prompt).sample
        torch.testing.assert_close(other(code, now, backbone.prompt).sample, adapted, atol=1e-5, rtol=1e-5)
    assert (adapted - bare).abs().max() > 0.05


def test_a_lora_for_another_base_is_refused_in_one_line(sd: Path, tmp_path: Path) -> None:
    bank, _ = trained_bank(latent(sd), ("noise",), steps=1)
    save_adapter(tmp_path / "noise", bank.export("noise"), str(sd))
    other = save_model(tmp_path / "other", seed=5)
    loaded = load_adapter(tmp_path / "noise")
    reference = latent(sd).reference()
    assert reference is not None
    assert loaded.base_sha256 == reference.sha256
    AdapterBank(latent(sd)).add(loaded)
    for backbone in (latent(other), build_backbone("latent", model="tiny")):
        with pytest.raises(AdapterError, match="was trained beside the base with SHA-256") as caught:
            AdapterBank(backbone).add(loaded)
        assert "\n" not in str(caught.value)


def test_tiles_come_near_the_whole_and_show_no_seams(sd: Path) -> None:
    backbone, image = latent(sd, timestep=400), torch.rand(1, 3, 160, 96, generator=torch.Generator())
    with torch.no_grad():
        whole = backbone(image)
        tiled = run_tiled(TorchRuntime(backbone), image, 64)
        object.__setattr__(backbone.description, "exact_tiles", True)
        cut = run_tiled(TorchRuntime(backbone), image, 64)
    # Random weights follow a tile's statistics far more than trained ones do.
    assert (tiled - whole).abs().mean() < min(0.3 * whole.std(), (cut - whole).abs().mean())

    def seam(result: Tensor) -> float:
        # Across the boundary between the cores of two tiles, against the same places in the whole image.
        error = (result - whole)[..., 55:57, :]
        return float((error[..., 1, :] - error[..., 0, :]).abs().mean())

    assert seam(tiled) < 0.75 * seam(cut)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number from 1 to 999, not 0"),
        ({"steps": 30, "timestep": 20}, "steps must be a whole number from 1 to 20"),
        ({"timestep": 1000}, "timestep must be a whole number from 1 to 999, not 1000"),
        ({"timestep": True}, "timestep must be a whole number"),
        ({"dtype": "float8"}, "dtype must be one of float32, bfloat16"),
        ({"variant": "int8"}, r"unet/diffusion_pytorch_model.int8.safetensors is missing"),
        ({"tiles": 3}, "there is no option 'tiles'"),
    ],
)
def test_options_out_of_range_are_one_line_before_anything_is_loaded(
    sd: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object], message: str
) -> None:
    monkeypatch.setattr(parts, "_load", None)
    with pytest.raises(BackboneError, match=message) as caught:
        latent(sd, **options)
    assert "\n" not in str(caught.value)


def changed(model: Path, tmp_path: Path, path: str, **changes: object) -> Path:
    """A copy of a model with other values in one of its configurations."""
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    content = json.loads((copy / path).read_text())
    (copy / path).write_text(json.dumps(content | changes))
    return copy


@pytest.mark.parametrize(
    ("path", "changes", "message"),
    [
        (
            "unet/config.json",
            {"_class_name": "FluxTransformer2DModel"},
            "its unet is a FluxTransformer2DModel",
        ),
        ("unet/config.json", {"in_channels": 9}, "inpainting or upscaling"),
        ("unet/config.json", {"num_class_embeds": 10}, "num_class_embeds"),
        ("unet/config.json", {"addition_embed_type": "image"}, "'image' are not supported"),
        ("unet/config.json", {"cross_attention_dim": 12}, "unet cannot be loaded"),
        ("vae/config.json", {"_class_name": "AutoencoderTiny"}, "its vae is a AutoencoderTiny"),
        ("scheduler/scheduler_config.json", {"prediction_type": "flow"}, "its network predicts 'flow'"),
        ("scheduler/scheduler_config.json", {"_class_name": "FlowMatchEulerDiscreteScheduler"}, "FlowMatch"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "wild"}, "no schedule of noise levels"),
        (
            "scheduler/scheduler_config.json",
            {"rescale_betas_zero_snr": True},
            "nothing of an image is left at timestep 999",
        ),
    ],
)
def test_models_of_another_kind_are_one_line(
    sd: Path, tmp_path: Path, path: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(BackboneError, match=message) as caught:
        latent(changed(sd, tmp_path, path, **changes))
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_files_are_one_line(
    sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    (tmp_path / "empty").mkdir()
    weights = "unet/diffusion_pytorch_model.safetensors"
    damages: tuple[tuple[Callable[[Path], object], str], ...] = (
        (lambda copy: shutil.rmtree(copy / "scheduler"), "no diffusion model in diffusers' layout"),
        (lambda copy: (copy / "vae/config.json").write_text("{"), "not valid JSON"),
        (lambda copy: (copy / weights).unlink(), "pickled weights are not read"),
        (lambda copy: (copy / weights).write_bytes(b"short"), "damaged"),
        (lambda copy: shutil.rmtree(copy / "text_encoder"), "text_encoder is missing"),
        (lambda copy: shutil.rmtree(copy / "tokenizer"), "tokenizer is missing"),
        (
            lambda copy: (copy / "text_encoder/model.safetensors").unlink(),
            "text_encoder cannot be loaded",
        ),
    )
    for index, (change, message) in enumerate(damages):
        copy = tmp_path / f"copy{index}"
        shutil.copytree(sd, copy)
        change(copy)
        with pytest.raises(BackboneError, match=message) as caught:
            latent(copy)
        assert "\n" not in str(caught.value)
    for model, message in (
        (tmp_path / "gone", "there is no model folder"),
        (tmp_path / "empty", "no diffusion model in diffusers' layout"),
        ("nobody/no-such-model", "there is no folder nobody/no-such-model, and the hub does not give"),
    ):
        with pytest.raises(BackboneError, match=message) as caught:
            latent(model)
        assert "\n" not in str(caught.value)


def test_a_name_on_the_hub_is_asked_for_there_and_nothing_more_than_needed(
    sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def download(name: str, **patterns: Any) -> str:
        asked.append((name, patterns))
        return str(sd)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    files = model_files.find_model("somebody/some-model")
    assert (files.name, files.folder) == ("somebody/some-model", sd)
    assert model_files.find_model(str(sd)).folder == sd
    assert [name for name, _ in asked] == ["somebody/some-model"]
    wanted = asked[0][1]["allow_patterns"]
    names = ("unet/config.json", "vae/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json")
    assert all(any(fnmatch(name, pattern) for pattern in wanted) for name in names)
    for name in ("unet/diffusion_pytorch_model.bin", "sd-turbo.safetensors", "unet/model.onnx"):
        assert not any(fnmatch(name, pattern) for pattern in wanted)


def test_a_model_is_also_found_by_name_where_the_environment_says(
    sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(model_files.MODELS_VARIABLE, str(sd.parent))
    for name in ("somebody/sd", "/elsewhere/sd"):
        files = model_files.find_model(name)
        assert (files.name, files.folder) == (name, sd)


def test_too_little_memory_is_said_before_anything_is_loaded(
    sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from polyrestore import devices

    monkeypatch.setattr(devices, "_free_of_system", lambda: 1_000_000)
    monkeypatch.setattr(parts, "_load", None)
    with pytest.raises(DeviceMemoryError, match=r"tile of 512 px needs about .* GB of memory and 0\.0 GB"):
        latent(sd)


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtraError, match=r"needs diffusers: pip install .polyrestore\[latent"):
        build_backbone("latent", model="tiny")
