"""A ComfyUI node that restores photographs: copy or link this folder into ``custom_nodes``.

ComfyUI passes images as float tensors (B, H, W, C) in [0, 1]. Each image of a batch is looked at alone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

import polyrestore


class PolyrestoreRestore:
    """Restore images: recognised one by one, or with the adapters that are named."""

    CATEGORY = "image/restoration"
    FUNCTION = "restore"
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("image", "adapters")
    DESCRIPTION = "Recognises what is wrong with a photograph and restores it; a clean one stays as it is."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 (ComfyUI asks for this name)
        """Return what the node takes, as ComfyUI describes it."""
        amount = {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.05}
        return {
            "required": {"image": ("IMAGE",), "strength": ("FLOAT", amount)},
            "optional": {
                "adapters": ("STRING", {"default": "", "placeholder": "rain=0.7,noise=0.3; empty: seen"}),
                "bundle": ("STRING", {"default": "default"}),
            },
        }

    def restore(
        self, image: Tensor, strength: float, adapters: str = "", bundle: str = "default"
    ) -> tuple[Tensor, str]:
        """Restore a batch.

        Args:
            image: (B, H, W, C) in [0, 1]; C is 1, 3 or 4. Pixels under full transparency stay as they are.
            strength: 0 gives the input, 1 the restored image.
            adapters: the composition to use; empty to recognise it.
            bundle: the name of a shipped bundle, or a bundle's folder.

        Returns:
            (B, H, W, 3) on the input's device, and a line for each image with the adapters that acted.

        Raises:
            PolyrestoreError: the bundle or the composition cannot be used.
        """
        restorer = _restorer(bundle)
        restored, lines = [], []
        for channels in image.permute(0, 3, 1, 2):
            result = restorer.restore(channels, as_=adapters.strip() or None, strength=strength)
            restored.append(result.pixels.permute(1, 2, 0))
            acting = sorted(result.weights.items(), key=lambda entry: -entry[1])
            lines.append(", ".join(f"{name} {weight:.2f}" for name, weight in acting) or "clean")
        return torch.stack(restored).to(image), "\n".join(lines)


@lru_cache(maxsize=1)
def _restorer(bundle: str) -> polyrestore.Restorer:
    return polyrestore.load(bundle)


NODE_CLASS_MAPPINGS = {"PolyrestoreRestore": PolyrestoreRestore}
NODE_DISPLAY_NAME_MAPPINGS = {"PolyrestoreRestore": "Restore photograph (polyrestore)"}
