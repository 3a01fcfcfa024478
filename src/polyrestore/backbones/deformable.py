"""The modulated deformable convolution (Zhu et al., CVPR 2019, arXiv 1811.11168) in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def deformable_convolution(features: Tensor, weight: Tensor, offsets: Tensor, mask: Tensor) -> Tensor:
    """Convolve with taps that each pixel moves and weights by itself.

    y(p) = sum_k w_k * m_k(p) * x(p + p_k + o_k(p)), where p_k walks over the kernel row by row, x is read
    bilinearly and is zero outside the image (equation 1 of the paper). Stride 1, one group, the size is kept.
    Taps are read one after the other, so that memory does not grow with the kernel where no gradient is kept.

    Args:
        features: (B, C, H, W).
        weight: (D, C, K, K), K odd.
        offsets: (B, 2 K K, H, W) in pixels: for every tap the way down, then the way to the right.
        mask: (B, K K, H, W), usually in [0, 1].

    Returns:
        (B, D, H, W).
    """
    kernel = weight.shape[-1]
    height, width = features.shape[-2:]
    rows = torch.arange(height, dtype=offsets.dtype, device=offsets.device)[:, None]
    columns = torch.arange(width, dtype=offsets.dtype, device=offsets.device)
    result: Tensor | None = None
    for tap in range(kernel * kernel):
        down, right = tap // kernel - kernel // 2, tap % kernel - kernel // 2
        y = rows + down + offsets[:, 2 * tap]
        x = columns + right + offsets[:, 2 * tap + 1]
        # grid_sample puts -1 and 1 on the outer edges of the border pixels, not on their centres.
        grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
        sampled = functional.grid_sample(
            features, grid, mode="bilinear", padding_mode="zeros", align_corners=False
        )
        term = functional.conv2d(
            sampled * mask[:, tap, None], weight[:, :, tap // kernel, tap % kernel, None, None]
        )
        result = term if result is None else result + term
    if result is None:
        raise ValueError(f"a kernel needs at least one tap, not the shape {tuple(weight.shape)}")
    return result
