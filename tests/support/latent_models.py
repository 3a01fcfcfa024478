"""Tiny diffusion models on disk in diffusers' layout, such as the tests of the latent backbone load."""

from __future__ import annotations

import json
from pathlib import Path

import torch

_VOCABULARY = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}


def offline(*_args: object, **_kwargs: object) -> None:
    """Stand in for the hub's client without a connection."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    raise LocalEntryNotFoundError("cannot find the requested files in the local cache\nand more")


def save_model(
    folder: Path,
    *,
    wide: bool = False,
    prediction: str = "epsilon",
    seed: int = 0,
    variant: str | None = None,
) -> Path:
    """Save a model of random weights, with two text encoders like SDXL's if ``wide``; return the folder."""
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        extra = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 4,
            "projection_class_embeddings_input_dim": 6 * 4 + 8,
        }
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16 if wide else 8,
            attention_head_dim=2,
            norm_num_groups=4,
            use_linear_projection=wide,
            **(extra if wide else {}),
        )
        vae = AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1,
            norm_num_groups=4,
            scaling_factor=0.5,
        )
        scheduler = EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction
        )
        unet.save_pretrained(folder / "unet", variant=variant)
        vae.save_pretrained(folder / "vae", variant=variant)
        scheduler.save_pretrained(folder / "scheduler")
        _save_text(folder, wide)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return folder


def _save_text(folder: Path, wide: bool) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    config = CLIPTextConfig(
        vocab_size=3,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=6,
        projection_dim=8,
        bos_token_id=0,
        eos_token_id=1,
    )
    for kind, ending in ((CLIPTextModel, ""), (CLIPTextModelWithProjection, "_2"))[: 2 if wide else 1]:
        tokenizer = CLIPTokenizer(vocab=_VOCABULARY, merges=[], model_max_length=6)
        tokenizer.save_pretrained(folder / f"tokenizer{ending}")
        kind(config).save_pretrained(folder / f"text_encoder{ending}")
    logging.enable_progress_bar()
