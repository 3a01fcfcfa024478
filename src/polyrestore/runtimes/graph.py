"""A network whose core another engine than torch runs, as a graph that is made once for all compositions.

What is cheap or has branches stays in torch: the context of the whole image, the tone curve, the veil. The
core comes from a trace, is converted for the engine, and is kept in the user's cache folder. The weights that
a composition changes are inputs of the graph, so that a new composition costs no more than its merge.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from torch import Tensor

from polyrestore import __version__
from polyrestore.adapters import Adapter
from polyrestore.backbones import Backbone
from polyrestore.backbones.capabilities import HasCore, borrowed_keys
from polyrestore.errors import BackboneError
from polyrestore.runtimes.cache import read_parts, write_parts
from polyrestore.runtimes.torch import TorchRuntime
from polyrestore.runtimes.tracing import Core, core_of

Engine = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Runs a graph: its inputs in order, float32, to its one output."""


def graph_obstacle(backbone: Backbone, device: torch.device, precision: str) -> str | None:
    """Return why no graph can be made of a backbone, as a sentence; None where one can."""
    if not isinstance(backbone, HasCore) or borrowed_keys(backbone):
        return f"backbone {backbone.description.name!r} has no core that a graph could be made of"
    if device.type != "cpu":
        return f"a graph runs on the CPU, not on {device}"
    if precision != "float32":
        return f"a graph computes in float32, not in {precision}"
    return None


class GraphRuntime(TorchRuntime):
    """Runs the core of a backbone in another engine.

    Args:
        backbone: as for :class:`~polyrestore.runtimes.torch.TorchRuntime`, like the rest.
        adapters: what can be composed.
        device: the CPU.
        precision: ``"float32"``.

    Raises:
        BackboneError: no graph can be made of the network.
        MissingExtraError: the engine is not installed.
    """

    def __init__(
        self,
        backbone: Backbone,
        adapters: Iterable[Adapter] = (),
        device: torch.device | None = None,
        precision: str = "float32",
    ) -> None:
        obstacle = graph_obstacle(backbone, device or torch.device("cpu"), precision)
        if obstacle is not None:
            raise BackboneError(f"{obstacle}; take the runtime torch in place of {self.name}")
        self._version = self.engine_version()
        super().__init__(backbone, adapters, device, precision)
        self._weights: Mapping[str, float] = {}
        self._inputs: list[np.ndarray] | None = None
        self._engine: Engine | None = None
        self._changing: tuple[str, ...] = ()

    @classmethod
    @abstractmethod
    def engine_version(cls) -> str:
        """Return the version of the engine.

        Raises:
            MissingExtraError: it is not installed.
        """

    @abstractmethod
    def convert(self, core: Core) -> dict[str, bytes]:
        """Return the core as a graph for the engine: bytes by name, which :meth:`load` takes."""

    @abstractmethod
    def load(self, parts: Mapping[str, bytes], threads: int) -> Engine:
        """Return what runs a graph with so many threads."""

    @contextmanager
    def composed(self, weights: Mapping[str, float]) -> Iterator[None]:
        """Let a composition act for the length of a block, then what acted before.

        Raises:
            CompositionError: an unknown adapter, or a weight that is negative or not finite.
        """
        before = self._weights, self._inputs
        with super().composed(weights):
            self._weights, self._inputs = weights, None
            try:
                yield
            finally:
                self._weights, self._inputs = before

    def run(self, tile: Tensor, context: Tensor | None, *, in_float32: bool = False) -> Tensor:
        """Restore a tile (B, 3, H, W) of float32 in [0, 1]: float32 of the same shape, not clipped."""
        network = cast(HasCore, self._backbone)
        network.core_runner = self._run_core
        try:
            return super().run(tile, context, in_float32=in_float32)
        finally:
            network.core_runner = None

    def _run_core(self, images: Tensor, context: Tensor) -> Tensor:
        if self._inputs is None:
            state = self._bank.composed_state(self._weights)
            if self._engine is None:
                self._open_engine(images, context, state)
            self._inputs = [state[key].detach().float().contiguous().numpy() for key in self._changing]
        assert self._engine is not None
        given = [images.detach().contiguous().numpy(), context.detach().contiguous().numpy()]
        return torch.from_numpy(self._engine([*given, *self._inputs]))

    def _open_engine(self, images: Tensor, context: Tensor, state: Mapping[str, Tensor]) -> None:
        # Tensors of inference mode cannot be traced.
        with torch.inference_mode(False):
            core = core_of(self._backbone, images.clone(), context.clone(), state)
            versions = f"{self.name} {self._version}", f"torch {torch.__version__}", __version__
            key = f"{self.name}-{core.fingerprint(*versions)}"
            parts = read_parts(key)
            engine = None if parts is None else self._load_kept(parts)
            if engine is None:
                parts = self.convert(core)
                engine = self.load(parts, torch.get_num_threads())
                write_parts(key, parts)
        self._engine, self._changing = engine, core.changing

    def _load_kept(self, parts: Mapping[str, bytes]) -> Engine | None:
        """Return what runs a graph from the cache; None where it is no good."""
        try:
            return self.load(parts, torch.get_num_threads())
        except (RuntimeError, ValueError, KeyError):
            return None
