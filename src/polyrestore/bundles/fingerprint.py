"""The identity of a bundle: a hash of all that decides how it restores."""

from __future__ import annotations

import hashlib
import json

import torch
from torch import Tensor

from polyrestore.backbones.capabilities import borrowed_keys, reference_of
from polyrestore.bundles.bundle import Bundle


def fingerprint(bundle: Bundle) -> str:
    """Return a SHA-256 of everything in a bundle that decides how an image is restored.

    A batch is continued with it: other weights under the same bundle name restore everything again.
    """
    # Weights outside of the bundle have been hashed once, to be compared with what it refers to.
    outside, reference = borrowed_keys(bundle.backbone), reference_of(bundle.backbone)
    parts: dict[str, Tensor] = {
        f"backbone.{key}": value for key, value in bundle.backbone.state_dict().items() if key not in outside
    }
    encoder = None if bundle.recogniser is None else bundle.recogniser.reference()
    if bundle.recogniser is not None and encoder is None:
        recogniser = bundle.recogniser.state_dict()
        parts |= {f"recogniser.{key}": value for key, value in recogniser.items()}
    parts |= {f"prototype.{key}": value for key, value in bundle.prototypes.items()}
    plain = [bundle.backbone.description.name, repr(sorted(bundle.backbone.options.items()))]
    if reference is not None:
        plain.append(reference.sha256)
    plain.append(json.dumps(bundle.recognition_settings, sort_keys=True, default=str))
    if bundle.recogniser is not None and encoder is not None:
        plain.append(
            f"{bundle.recogniser.kind} {encoder.sha256} {sorted(bundle.recogniser.options.items())!r}"
        )
    for name, adapter in bundle.adapters.items():
        plain.append(f"{name} {adapter.config}")
        parts |= {f"adapter.{name}.{key}": value for key, value in adapter.tensors.items()}
    digest = hashlib.sha256("\n".join(plain).encode())
    for key in sorted(parts):
        digest.update(key.encode())
        digest.update(parts[key].detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
