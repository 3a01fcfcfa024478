"""A small generative backbone: it learns by flow matching what clean photographs look like, and nothing else.

Flow matching (Lipman et al., ICLR 2023, arXiv 2210.02747) on the straight paths of rectified flow (Liu et
al., ICLR 2023, arXiv 2209.03003): the state x_t = t x_1 + (1 - t) x_0 leads from Gaussian noise x_0 at t = 0
to a photograph x_1 at t = 1 with values in [-1, 1], and the network predicts the velocity x_1 - x_0.
Integrated from t = 0 it generates; entered late, with an image in the place of an almost finished state, it
keeps what it is given and makes it look like a photograph. There adapters move it to restoration, as UIR-LoRA
does with a latent diffusion model (arXiv 2409.20197): the degraded image goes in at a fixed time, and the
restored one comes out, by default in one step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.bounds import Number, WholeNumber
from polyrestore.backbones.compact import Compact
from polyrestore.backbones.context_unet import THUMBNAIL_PX
from polyrestore.backbones.layers import average_pool
from polyrestore.backbones.shapes import PublishedOptions, Shapes
from polyrestore.errors import BackboneError

TIME_WAVES = 16
# The slowest wave is half of one over the whole path, the fastest 64 of them.
FASTEST_WAVE = 64.0


class TimeEncoder(nn.Module):
    """Encode the time on the path from noise to image into a vector."""

    def __init__(self, context_dim: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(2 * TIME_WAVES, context_dim)
        self.linear2 = nn.Linear(context_dim, context_dim)

    def forward(self, time: Tensor) -> Tensor:
        """Map times (B,) in [0, 1] to (B, D)."""
        exponents = torch.linspace(0, math.log(FASTEST_WAVE), TIME_WAVES, device=time.device)
        angles = math.pi * time[:, None] * exponents.exp()
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        return cast(Tensor, self.linear2(functional.gelu(self.linear1(waves))))


class Flow(Compact):
    """:class:`Compact`'s U-Net as a flow-matching model, entered late on its path to restore.

    The tone curve stays the identity until an adapter changes it: it has no part in generating, and neither
    has a veil of haze, which is taken off the image before it is put on the path.

    Args:
        width: see :class:`Compact`, as for all that follow but entry time and steps.
        encoder_blocks: blocks per encoder level.
        middle_blocks: blocks at the lowest resolution.
        decoder_blocks: blocks per decoder level, from the lowest resolution up.
        context_dim: length of the global context.
        shuffle: pixel-unshuffle factor of the stem.
        entry_time: where on the path a degraded image is put, in (0, 1); the bare network then takes off
            Gaussian noise of a standard deviation of 127.5 (1 - t) / t grey levels.
        steps: Euler steps from there to the end.
        veil_width: see :class:`Compact`.

    Raises:
        ValueError: the entry time is out of range.
        BackboneError: the steps are.
    """

    bounds = {
        **Compact.bounds,
        "entry_time": Number(0, 1),
        "steps": WholeNumber(1, 1000),
    }

    def __init__(
        self,
        width: int = 32,
        encoder_blocks: Sequence[int] = (1, 1, 2),
        middle_blocks: int = 4,
        decoder_blocks: Sequence[int] = (2, 1, 1),
        context_dim: int = 64,
        shuffle: int = 1,
        entry_time: float = 0.85,
        steps: int = 1,
        veil_width: int = 0,
    ) -> None:
        counts = encoder_blocks, middle_blocks, decoder_blocks
        super().__init__(width, *counts, context_dim, shuffle, veil_width)
        if not 0 < entry_time < 1:
            raise ValueError(f"entry_time must be between 0 and 1, not {entry_time}")
        self.options |= {"entry_time": entry_time}
        self.entry_time = entry_time
        self._step_radius_px = self.description.receptive_radius_px
        self.use_steps(steps)
        self.time_encoder = TimeEncoder(context_dim)

    @classmethod
    def published_options(cls, shapes: Shapes) -> PublishedOptions | None:
        """Return the options of a state dict; where to enter the path is in no shape."""
        found = super().published_options(shapes) if "time_encoder.linear1.weight" in shapes else None
        return None if found is None else replace(found, assumed=("entry_time", "steps"))

    def use_steps(self, steps: int) -> None:
        """Take so many Euler steps, each of which sees as far again.

        Raises:
            BackboneError: there must be at least one.
        """
        if steps < 1:
            raise BackboneError(f"steps must be at least 1, not {steps}")
        self.steps: int = steps
        self.options["steps"] = steps
        self.description = replace(
            self.description, name="flow", receptive_radius_px=steps * self._step_radius_px
        )

    def context(self, image: Tensor) -> Tensor:
        """Return the context (B, D) of whole images (B, 3, H, W), put on the path at the entry time.

        What is known of a veil comes last.
        """
        # Only a thumbnail is looked at: put on the path whole, a large image would be copied four times.
        thumbnail = average_pool(image, THUMBNAIL_PX)
        return self.with_veil_context(self._state_context(self._entered(thumbnail)), image)

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Restore (B, 3, H, W), whole images or tiles of them with the context of the whole."""
        if context is None:
            context = self.context(image)
        context, seen = self.without_veil(context, image)
        beside, state = self._entered(image), self._entered(cast(Tensor, self.tone(seen, context)))
        stride = (1 - self.entry_time) / self.steps
        for index in range(self.steps):
            time = state.new_full((len(state),), self.entry_time + index * stride)
            state = state + stride * self._velocity(state, beside, context, time)
            beside = state
        return (state + 1) / 2

    def freeze_restoring(self) -> None:
        """Keep training from changing the tone curve, which is the identity on the path."""
        self.tone.requires_grad_(False)

    def velocity(self, state: Tensor, time: Tensor) -> Tensor:
        """Predict x_1 - x_0.

        Args:
            state: (B, 3, H, W), x_t.
            time: (B,), t in [0, 1).
        """
        return self._velocity(state, state, self._state_context(state), time)

    @torch.no_grad()
    def generate(self, noise: Tensor, steps: int = 50) -> Tensor:
        """Integrate from noise (B, 3, H, W) of unit variance to images in [0, 1], not clipped."""
        state = noise
        for index in range(steps):
            time = noise.new_full((len(noise),), index / steps)
            state = state + self.velocity(state, time) / steps
        return (state + 1) / 2

    def _velocity(self, state: Tensor, beside: Tensor, context: Tensor, time: Tensor) -> Tensor:
        return self.correction(torch.cat([beside, state], dim=1), context + self.time_encoder(time))

    def _entered(self, image: Tensor) -> Tensor:
        return self.entry_time * (2 * image - 1)

    def _state_context(self, state: Tensor) -> Tensor:
        return cast(Tensor, self.context_encoder((state + 1) / 2))
