"""Where the parts of a restored image come together: each is finished as it comes, and kept in few bytes."""

from __future__ import annotations

import torch
from torch import Tensor

from polyrestore.imaging import Image
from polyrestore.imaging.levels import LARGEST_LEVEL, to_floats, to_levels
from polyrestore.restoration.colour import is_grey, keep_grey
from polyrestore.restoration.hidden import visible_pixels


class Canvas:
    """Takes what a network makes of an image, part by part.

    A part is clipped to [0, 1], and a picture without colour gets none. With an image, it also goes from what
    was shown to what was made of it by a strength, and pixels under alpha 0 stay as they are in the image.

    Args:
        shown: (3, H, W), floats in [0, 1] or levels, what the network is shown.
        dtype: of the result: float32, or uint8 or uint16 for levels.
        image: what was to be restored; levels of a grey file are kept in one channel, which three share.
        strength: how far to go, from 0 to 1; None for all the way.
        grey: whether what is shown has no colour; None to look.

    Attributes:
        shown: the same.
        pixels: (3, H, W) of ``dtype``, on the device of ``shown``; what no part has covered is undefined.
    """

    def __init__(
        self,
        shown: Tensor,
        dtype: torch.dtype = torch.float32,
        *,
        image: Image | None = None,
        strength: float | None = None,
        grey: bool | None = None,
    ) -> None:
        self.shown = shown
        self._dtype = dtype
        self._image = image
        self._strength = strength
        self._visible = None if image is None else visible_pixels(image)
        self._grey = is_grey(shown) if grey is None else grey
        one_channel = image is not None and image.metadata.grey and dtype in LARGEST_LEVEL
        channels, height, width = shown.shape
        self._planes = torch.empty(
            (1 if one_channel else channels, height, width), dtype=dtype, device=shown.device
        )
        self.pixels = self._planes.expand(channels, height, width)

    def put(self, rows: slice, columns: slice, part: Tensor) -> None:
        """Take a part of the result, in place of what was there.

        Args:
            rows: of the image.
            columns: of the image.
            part: (3, h, w), what the network made of them, not clipped, on any device; it is left as it is.
        """
        given = to_floats(self.shown[:, rows, columns])
        part = part.to(given.device).clamp(0, 1)
        if self._grey:
            part = keep_grey(part, given)
        if self._strength is not None:
            part = (given + self._strength * (part - given)).clamp_(0, 1)
        if self._image is not None and self._visible is not None:
            original = to_floats(self._image.pixels[:, rows, columns])
            part = torch.where(self._visible[rows, columns], part, original)
        if len(self._planes) == 1:
            part = part.mean(0, keepdim=True)
        self._planes[:, rows, columns] = to_levels(part, self._dtype)
