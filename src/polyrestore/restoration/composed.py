"""A network with one composition in it: what an image runs through, and the frames of a scene alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from polyrestore.imaging.levels import to_floats
from polyrestore.restoration.canvas import Canvas
from polyrestore.restoration.range import gain_for, stretched, stretched_by
from polyrestore.restoration.tiling import run_parts
from polyrestore.restoration.views import run_views
from polyrestore.runtimes.base import Runtime


@dataclass(frozen=True)
class SceneLook:
    """What is decided once for all frames of a scene, so that none of it changes from frame to frame.

    Attributes:
        grey: whether the scene is without colour, and gets none.
        brightest: the largest value of any frame, from 0 to 1.
    """

    grey: bool
    brightest: float


@dataclass(frozen=True)
class Composed:
    """What restores images with the composition that acts; called with one, it returns the result.

    Attributes:
        runtime: has the composition.
        quality: in how many views, one of :data:`~polyrestore.restoration.views.QUALITIES`.
        tile_px_for: gives the largest side of a tile by height and width of an image.
        on_tile: called after each tile; None for nobody.
    """

    runtime: Runtime
    quality: str
    tile_px_for: Callable[[int, int], int]
    on_tile: Callable[[int, int], None] | None = None

    def __call__(self, pixels: Tensor) -> Tensor:
        """Restore an image (3, H, W) in [0, 1] of any size; the result is on its device.

        Raises:
            BackboneError: the network cannot be run on it.
        """
        return self.paint(Canvas(pixels))

    def paint(self, canvas: Canvas, acting: Iterable[str] = ()) -> Tensor:
        """Restore what a canvas shows, and return its pixels.

        Args:
            canvas: takes the parts of the result.
            acting: the adapters of the composition, where a picture that uses a corner of its range may be
                stretched.
        """
        image, put = stretched(canvas.shown.to(self.runtime.device), canvas.put, acting)
        # Not in inference mode, whose tensors nobody could write to afterwards.
        with torch.no_grad():
            if self.quality == "best":
                run_views(self.runtime, image, put, self.tile_px_for(*image.shape[-2:]), self.on_tile)
            else:
                run_parts(self.runtime, image, put, self.tile_px_for(*image.shape[-2:]), self.on_tile)
        return canvas.pixels

    def context(self, frame: Tensor, look: SceneLook, acting: Iterable[str]) -> Tensor | None:
        """Return what the network gathers of a whole frame, for :meth:`restore_frame`.

        Frames of a scene whose contexts are made alike, by a mean over neighbours say, do not flicker.

        Args:
            frame: (3, H, W) in [0, 1].
            look: of its scene.
            acting: the adapters of the composition.

        Returns:
            (1, D); None where a frame runs whole or in several views, and gathers it by itself.
        """
        if self.quality == "best" or self.runtime.runs_whole(*frame.shape[-2:]):
            return None
        image = frame.to(self.runtime.device) * gain_for(look.brightest, acting)
        with torch.no_grad():
            return self.runtime.context(to_floats(image)[None])

    def restore_frame(
        self, frame: Tensor, look: SceneLook, acting: Iterable[str], context: Tensor | None, strength: float
    ) -> Tensor:
        """Restore one frame of a scene.

        Args:
            frame: (3, H, W) in [0, 1].
            look: of its scene.
            acting: the adapters of the composition.
            context: what :meth:`context` gave, or a mean of it over frames.
            strength: from 0, the frame, to 1, the restored one.

        Returns:
            (3, H, W) in [0, 1], on the device of the frame.

        Raises:
            BackboneError: the network cannot be run on it.
        """
        canvas = Canvas(frame, strength=strength, grey=look.grey)
        if context is None and self.quality == "best":
            return self.paint(canvas)
        shown = frame.to(self.runtime.device)
        image, put = stretched_by(shown, canvas.put, gain_for(look.brightest, acting))
        tile_px = self.tile_px_for(*image.shape[-2:])
        with torch.no_grad():
            run_parts(self.runtime, image, put, tile_px, self.on_tile, context=context)
        return canvas.pixels
