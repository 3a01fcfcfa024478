"""A tiny U-Net with all that makes tiling hard: padding, strides and a global context."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.base import Backbone, BackboneDescription

MULTIPLE = 4


class TinyBackbone(Backbone):
    """Two levels down and up; zero-padded convolutions inside, ``padding`` of the image outside."""

    def __init__(
        self,
        padding: str = "replicate",
        minimum_size_px: int = 1,
        dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.bfloat16),
    ) -> None:
        super().__init__()
        self.padding = padding
        self.options = {"padding": padding, "minimum_size_px": minimum_size_px}
        self.description = BackboneDescription(
            name="tiny",
            size_multiple=MULTIPLE,
            minimum_size_px=minimum_size_px,
            # 3x3 convolutions at full, half, quarter, half and full size, and the cells of 4 px between them.
            receptive_radius_px=1 + 2 + 4 + 2 + 1 + MULTIPLE,
            global_context=True,
            dtypes=dtypes,
        )
        self.enter = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.ModuleList([nn.Conv2d(4, 4, 2, stride=2) for _ in range(2)])
        self.levels = nn.ModuleList([nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)])
        self.mix = nn.Conv2d(4, 4, 1)
        self.up = nn.ModuleList([nn.ConvTranspose2d(4, 4, 2, stride=2) for _ in range(2)])
        self.leave = nn.Conv2d(4, 3, 3, padding=1)
        self.tint = nn.Linear(3, 4)

    def context(self, image: Tensor) -> Tensor:
        tint: Tensor = self.tint(image.mean(dim=(2, 3)))
        return tint

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        height, width = image.shape[-2:]
        if context is None:
            context = self.context(image)
        padded = self.pad(image)
        full = torch.tanh(self.enter(padded))
        half = torch.tanh(self.levels[0](self.down[0](full)))
        quarter = torch.tanh(self.levels[1](self.mix(self.down[1](half))) + context[:, :, None, None])
        half = torch.tanh(self.levels[2](half + self.up[0](quarter)))
        restored: Tensor = padded + self.leave(full + self.up[1](half))
        return restored[..., :height, :width]

    def pad(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        least = self.description.minimum_size_px
        tall = -(-max(height, least) // MULTIPLE) * MULTIPLE - height
        wide = -(-max(width, least) // MULTIPLE) * MULTIPLE - width
        fits = tall < height and wide < width
        return functional.pad(image, (0, wide, 0, tall), mode=self.padding if fits else "replicate")


def tiny_backbone(seed: int = 0, **options: object) -> TinyBackbone:
    """Return a tiny backbone with seeded weights that visibly change an image."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = TinyBackbone(**options)  # type: ignore[arg-type]
        for parameter in backbone.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    return backbone.eval().requires_grad_(False)
