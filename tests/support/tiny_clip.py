"""A CLIP and a DA-CLIP of a few thousand random weights, as files in their authors' layouts."""

from __future__ import annotations

import copy
import json
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from transformers import CLIPModel

IMAGE_PX, PATCH_PX, WIDTH, TEXT_WIDTH, LAYERS, DIMENSION, CONTEXT = 32, 16, 128, 64, 2, 24, 24


def vocabulary() -> dict[str, int]:
    """Return a byte-pair vocabulary of letters, one merge and two marks; the end's number is highest."""
    letters = "abcdefghijklmnopqrstuvwxyz-"
    entries = [*letters, *(f"{letter}</w>" for letter in letters), "ha", "<|startoftext|>", "<|endoftext|>"]
    return {entry: number for number, entry in enumerate(entries)}


def save_tokenizer(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary()))
    (folder / "merges.txt").write_text("#version: 0.2\nh a\n")


def clip_model(seed: int = 0) -> CLIPModel:
    from transformers import CLIPConfig, CLIPModel

    common = {"num_hidden_layers": LAYERS, "num_attention_heads": 2, "projection_dim": DIMENSION}
    vision = {"hidden_size": 32, "intermediate_size": 48, "image_size": IMAGE_PX, "patch_size": PATCH_PX}
    text = {"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": CONTEXT}
    text |= {"vocab_size": len(vocabulary()), "eos_token_id": len(vocabulary()) - 1, "bos_token_id": 55}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = CLIPConfig(
            text_config=common | text, vision_config=common | vision, projection_dim=DIMENSION
        )
        model = CLIPModel(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def save_clip(folder: Path, seed: int = 0) -> Path:
    """Save a CLIP as transformers does, with its tokenizer."""
    clip_model(seed).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, width // 64, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        layers = [("c_fc", nn.Linear(width, 2 * width)), ("gelu", nn.GELU())]
        self.mlp = nn.Sequential(OrderedDict([*layers, ("c_proj", nn.Linear(2 * width, width))]))

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        normed = self.ln_1(tokens)
        tokens = tokens + self.attn(normed, normed, normed, attn_mask=mask, need_weights=False)[0]
        mixed: Tensor = tokens + self.mlp(self.ln_2(tokens))
        return mixed


class Stack(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width) for _ in range(LAYERS))


class Controlled(nn.Module):
    def __init__(self, transformer: Stack, zero: bool) -> None:
        super().__init__()
        self.transformer = transformer
        self.zero_modules = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS))
        if zero:
            for parameter in self.zero_modules.parameters():
                nn.init.zeros_(parameter)


class Visual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(0.1 * torch.randn(WIDTH))
        self.positional_embedding = nn.Parameter(0.1 * torch.randn((IMAGE_PX // PATCH_PX) ** 2 + 1, WIDTH))
        self.proj = nn.Parameter(0.1 * torch.randn(WIDTH, DIMENSION))
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH_PX, PATCH_PX, bias=False)
        self.ln_pre = nn.LayerNorm(WIDTH)
        self.transformer: Stack | Controlled = Stack(WIDTH)
        self.ln_post = nn.LayerNorm(WIDTH)

    def run(self, pixels: Tensor, control: list[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
        tokens = self.conv1(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(pixels), 1, WIDTH)
        tokens = self.ln_pre(torch.cat([first, tokens], 1) + self.positional_embedding)
        control_of = self.transformer if isinstance(self.transformer, Controlled) else None
        stack = self.transformer.transformer if isinstance(self.transformer, Controlled) else self.transformer
        hiddens = []
        for index, block in enumerate(stack.resblocks):
            tokens = block(tokens)
            if control_of is not None:
                hiddens.append(control_of.zero_modules[index](tokens))
            if control is not None:
                tokens = tokens + control.pop()
        return self.ln_post(tokens[:, 0]) @ self.proj, hiddens


class Clip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visual = Visual()
        self.transformer = Stack(TEXT_WIDTH)
        self.token_embedding = nn.Embedding(len(vocabulary()), TEXT_WIDTH)
        self.positional_embedding = nn.Parameter(0.1 * torch.randn(CONTEXT, TEXT_WIDTH))
        self.ln_final = nn.LayerNorm(TEXT_WIDTH)
        self.text_projection = nn.Parameter(0.1 * torch.randn(TEXT_WIDTH, DIMENSION))
        self.logit_scale = nn.Parameter(torch.tensor(2.66))


class ReferenceDaClip(nn.Module):
    """The published network, written down once more from its description: its state dict is the layout."""

    def __init__(self, seed: int = 0, zero: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.clip = Clip()
            self.visual = self.clip.visual
            self.visual_control = copy.deepcopy(self.visual)
            stack = self.visual_control.transformer
            assert isinstance(stack, Stack)
            self.visual_control.transformer = Controlled(stack, zero)
            with torch.no_grad():
                for parameter in stack.parameters():
                    parameter.add_(0.05 * torch.randn(parameter.shape))
            self.logit_scale = nn.Parameter(torch.tensor(4.6))
        self.eval().requires_grad_(False)

    def encode_image(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        degradation, hiddens = self.visual_control.run(pixels)
        content, _ = self.visual.run(pixels, hiddens)
        return functional.normalize(content, dim=1), functional.normalize(degradation, dim=1)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Embed (1, CONTEXT) tokens that are padded with 0, as the published tokenizer does."""
        clip = self.clip
        hidden = clip.token_embedding(tokens) + clip.positional_embedding
        mask = torch.full((CONTEXT, CONTEXT), float("-inf")).triu(1)
        for block in clip.transformer.resblocks:
            hidden = block(hidden, mask)
        last = clip.ln_final(hidden)[:, int(tokens.argmax())]
        return functional.normalize(last @ clip.text_projection, dim=1)


def save_da_clip(path: Path, seed: int = 0, zero: bool = False) -> ReferenceDaClip:
    """Save a checkpoint as its authors' training does, and return its network."""
    reference = ReferenceDaClip(seed, zero)
    torch.save({"epoch": 50, "name": "daclip", "state_dict": reference.state_dict()}, path)
    return reference
