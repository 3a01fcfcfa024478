"""The core of a network as a function of its input and of the weights that a composition changes.

Traced once, it serves every composition and every size: what adapters change comes in as tensors, and what
they do not is constant. Nothing of a composition is in the trace.
"""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from polyrestore.adapters.layer import AdaptedLayer
from polyrestore.backbones import Backbone
from polyrestore.backbones.capabilities import HasCore


@dataclass(frozen=True)
class Core:
    """A network's core, ready to be traced.

    Attributes:
        module: maps images (B, C, H, W), context (B, D) and the tensors that a composition changes, in the
            order of ``changing``, to (B, 3, H, W).
        changing: their keys in :meth:`~polyrestore.adapters.AdapterBank.composed_state`.
        examples: what ``module`` can be called with.
    """

    module: nn.Module
    changing: tuple[str, ...]
    examples: tuple[Tensor, ...]

    def trace(self) -> torch.jit.ScriptModule:
        """Return the trace of the module."""
        with torch.no_grad(), warnings.catch_warnings():
            # Sizes that are the same for every input are meant to be constants.
            warnings.simplefilter("ignore")
            trace = cast(Callable[..., torch.jit.ScriptModule], torch.jit.trace)
            return trace(self.module, self.examples, check_trace=False)

    def fingerprint(self, *versions: str) -> str:
        """Return a SHA-256 of all that decides about the trace, and of what it is converted with."""
        traced = cast(_Traced, self.module)
        (network,) = traced.networks
        plain = [network.description.name, repr(sorted(network.options.items())), repr(network)]
        digest = hashlib.sha256("\n".join([*plain, *self.changing, *versions]).encode())
        digest.update(repr([tuple(example.shape[1:]) for example in self.examples[:2]]).encode())
        for key, tensor in sorted(network.state_dict().items()):
            digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}".encode())
            if key not in traced.keys:
                digest.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def core_of(backbone: Backbone, images: Tensor, context: Tensor, state: Mapping[str, Tensor]) -> Core:
    """Return the core of a backbone for inputs like these.

    Args:
        backbone: with a bank around it; it is left as it is.
        images: (B, C, H, W), what the core is called with.
        context: (B, D), likewise.
        state: of any composition, from :meth:`~polyrestore.adapters.AdapterBank.composed_state`.
    """
    network = copy.deepcopy(backbone).to("cpu")
    # A trace of large images would take as long as restoring them.
    multiple = backbone.description.size_multiple
    small = images[:1, :, : 4 * multiple, : 4 * multiple].cpu()
    small = nn.functional.pad(
        small, (0, 4 * multiple - small.shape[3], 0, 4 * multiple - small.shape[2]), mode="replicate"
    )
    ran = _adapted_layers_in_core(network, small, context[:1].cpu())
    inner, changing = [], []
    for path, layer in ran.items():
        parts = {key.removeprefix("adapter_"): part for key, part in layer.parts.items()}
        parallel = [name for name in sorted(parts) if not layer.part(name).mergeable]
        layer.unmerge()
        layer.active = dict.fromkeys(parallel, 1.0)
        if len(parallel) < len(parts):
            inner.append(f"{path}.base_layer.weight")
            changing.append(f"{path}.weight")
        for name in parallel:
            for key in layer.part(name).state_dict():
                inner.append(f"{path}.parts.adapter_{name}.{key}")
                changing.append(f"{path}.parallel.{name}.{key}")
    module = _Traced(network, inner).eval().requires_grad_(False)
    weights = [state[key].detach().to("cpu", torch.float32).contiguous() for key in changing]
    return Core(module, tuple(changing), (small.contiguous(), context[:1].cpu().contiguous(), *weights))


class _Traced(nn.Module):
    """The core with some of its parameters as inputs."""

    def __init__(self, network: Backbone, keys: Sequence[str]) -> None:
        super().__init__()
        # No submodule: while one is traced its parameters cannot be exchanged.
        self.networks = (network,)
        self.keys = tuple(keys)

    def forward(self, images: Tensor, context: Tensor, *weights: Tensor) -> Tensor:
        (network,) = self.networks
        own = {key: network.get_parameter(key) for key in self.keys}
        _put(network, dict(zip(self.keys, weights, strict=True)))
        try:
            return cast(HasCore, network).core(images, context)
        finally:
            _put(network, own)


def _put(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors in the place of parameters; those of a trace are none, and could not be assigned."""
    for key, tensor in tensors.items():
        path, _, name = key.rpartition(".")
        network.get_submodule(path)._parameters[name] = cast(nn.Parameter, tensor)


@torch.no_grad()
def _adapted_layers_in_core(network: Backbone, images: Tensor, context: Tensor) -> dict[str, AdaptedLayer]:
    """Return the layers with adapters that the core runs, by path, in the order of the network."""
    layers = {path: each for path, each in network.named_modules() if isinstance(each, AdaptedLayer)}
    ran: set[int] = set()
    handles = [
        each.register_forward_pre_hook(lambda layer, _inputs: ran.add(id(layer))) for each in layers.values()
    ]
    try:
        cast(HasCore, network).core(images, context)
    finally:
        for handle in handles:
            handle.remove()
    return {path: layer for path, layer in layers.items() if id(layer) in ran}
