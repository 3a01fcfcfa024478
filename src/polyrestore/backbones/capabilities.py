"""What only some backbones can do: each is a protocol, and ``isinstance`` says who has it.

A protocol names methods and plain attributes alone: from Python 3.12 on ``isinstance`` does not see what a
module finds among its parts, such as a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from polyrestore.errors import BackboneError


@dataclass(frozen=True)
class BaseReference:
    """Weights of another model that a backbone runs on, named instead of copied.

    Attributes:
        model: where they are: a folder, or a name on a hub.
        sha256: of the weights and what decides about their meaning; the backbone says of what exactly.
        size_bytes: of the weight files.
    """

    model: str
    sha256: str
    size_bytes: int


@runtime_checkable
class BorrowsModel(Protocol):
    """A backbone that runs on another model, which an option must name for it to be built."""

    @classmethod
    def model_options(cls, source: str) -> dict[str, Any] | None:
        """Return the options that name another model as the base; None when ``source`` is none of its kind.

        Args:
            source: a folder, or a name on a hub.

        Raises:
            BackboneError: it is one of its kind, but cannot be used.
        """

    @classmethod
    def other_options(cls) -> dict[str, Any]:
        """Return the options besides the model that a user may give, with their defaults."""

    @classmethod
    def known_options(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return arguments beside ``options`` that spare making what a bundle's tensors hold already."""

    @classmethod
    def check_reference(cls, options: Mapping[str, Any], expected: BaseReference) -> None:
        """Check, before anything is loaded, that the base that ``options`` name is the expected one.

        Raises:
            BackboneError: it is missing, or is another model.
        """

    def reference(self) -> BaseReference | None:
        """Return which other model's weights this network runs on; None where it has its own after all."""

    def external_keys(self) -> frozenset[str]:
        """Return the state dict's keys that are :meth:`reference`'s weights; no bundle holds them."""


@runtime_checkable
class Stepped(Protocol):
    """A backbone through which an image can go several times.

    Attributes:
        steps: how many times it does.
    """

    steps: int

    def use_steps(self, steps: int) -> None:
        """Let images go through the network so many times.

        Raises:
            BackboneError: not so many times.
        """


@runtime_checkable
class Generative(Protocol):
    """A backbone that can be trained by flow matching."""

    def freeze_restoring(self) -> None:
        """Keep training from changing what only restoring has a use for."""

    def velocity(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the velocity of states (B, 3, H, W) at times (B,), from noise towards images in [-1, 1]."""


@runtime_checkable
class Contrastive(Protocol):
    """A backbone that can be trained to tell degradations apart by contrast."""

    def contrastive_loss(self, query_crop: Tensor, key_crop: Tensor) -> Tensor:
        """Return the contrastive loss of two crops (B, 3, P, P) of the same images, a scalar."""

    def restore_and_contrast(self, query_crop: Tensor, key_crop: Tensor) -> tuple[Tensor, Tensor]:
        """Return the restored query crops and the contrastive loss."""


@runtime_checkable
class HasCore(Protocol):
    """A backbone whose costly part is a function of tensors that can be made into a graph once.

    The core has no size arithmetic and no branch on values, so that its trace holds for all sizes. The
    network's ``forward`` does what is left, and calls the core as often as it needs it.

    Attributes:
        core_runner: called by ``forward`` in place of :meth:`core`, where it is not None.
    """

    core_runner: Callable[[Tensor, Tensor], Tensor] | None

    def core(self, images: Tensor, context: Tensor) -> Tensor:
        """Run the core.

        Args:
            images: (B, C, H, W); H and W are whole multiples of the description's ``size_multiple``.
            context: (B, D), one vector for each image.

        Returns:
            (B, 3, H, W).
        """


def reference_of(network: nn.Module) -> BaseReference | None:
    """Return which other model's weights a network runs on; None when all weights are its own."""
    return network.reference() if isinstance(network, BorrowsModel) else None


def borrowed_keys(network: nn.Module) -> frozenset[str]:
    """Return the keys of a network's state dict that are another model's weights."""
    return network.external_keys() if isinstance(network, BorrowsModel) else frozenset()


def use_steps(network: nn.Module, steps: int) -> None:
    """Let images go through a network so many times.

    Raises:
        BackboneError: it restores in one pass, or not in so many.
    """
    if not isinstance(network, Stepped):
        name = getattr(getattr(network, "description", None), "name", type(network).__name__)
        raise BackboneError(f"backbone {name!r} restores in one pass; it takes no number of steps")
    network.use_steps(steps)
