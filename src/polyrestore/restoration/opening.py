"""Open a bundle as what restores with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from polyrestore.backbones.capabilities import use_steps
from polyrestore.bundles import load_bundle
from polyrestore.restoration.restorer import Restorer


def load(
    name_or_folder: str | Path = "default",
    device: str | torch.device | None = None,
    *,
    tile_px: int | None = None,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    runtime: str = "torch",
    precision: str = "float32",
    quality: str = "normal",
    scale: int = 1,
) -> Restorer:
    """Load a bundle, by the name of a shipped one, from a folder or from the hub, and return its restorer.

    Args:
        name_or_folder: ``"default"``, another shipped bundle's name, a bundle's folder, or the name of its
            repository on the Hugging Face hub, ``"owner/bundle"`` or ``"owner/bundle@revision"``.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``; None takes a GPU where there is one.
        tile_px: largest side of a tile; None for what suits the network.
        steps: how many times an image goes through a generative network; None for the bundle's own number.
        settings: recognition settings in place of the bundle's, such as ``{"top_k": 1}``.
        runtime: what runs the network, one of :data:`~polyrestore.runtimes.registry.RUNTIMES`, or ``"auto"``.
        precision: the number format that it computes in: ``"float32"``, or where the device and the network
            support it ``"float16"`` or ``"bfloat16"``.
        quality: ``"normal"``, or ``"best"`` for the mean over four views of the image, which takes four times
            as long.
        scale: how many times as wide and high results are, from 1 to 4.

    Raises:
        RecognitionError: a setting is unknown or outside its range.
        BundleError: the bundle is missing, incomplete, corrupt or of a newer format.
        HubError: the hub does not give the bundle, and the cache has nothing of it.
        BackboneError: the network knows no steps, or it or the device does not support the precision.
        UnknownNameError: there is no such runtime, precision or quality.
        CompositionError: there is no such scale, or the bundle cannot enlarge.
        DeviceError: the device is not there.
    """
    bundle = load_bundle(name_or_folder)
    if steps is not None:
        use_steps(bundle.backbone, steps)
    return Restorer(
        bundle,
        device,
        tile_px=tile_px,
        settings=settings,
        runtime=runtime,
        precision=precision,
        quality=quality,
        scale=scale,
    )
