"""What the shapes in a foreign state dict tell about the network that it belongs to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polyrestore.errors import BackboneError

_MOST_DECIMALS = 6


@dataclass(frozen=True)
class PublishedOptions:
    """The options of a network that is described by its state dict's shapes.

    Attributes:
        options: keyword arguments of the backbone; what is left out has its default.
        assumed: names of options that no shape tells, and that have the published values.
    """

    options: dict[str, object]
    assumed: tuple[str, ...] = ()


class Shapes:
    """The shapes of a state dict, by key."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = dict(shapes)
        self._paths: set[str] = set()
        for key in shapes:
            while "." in key:
                key = key.rpartition(".")[0]
                self._paths.add(key)

    def __contains__(self, key: str) -> bool:
        return key in self._shapes

    def size(self, key: str, axis: int) -> int:
        """Return the length of one axis of a tensor.

        Raises:
            BackboneError: the tensor is missing, has fewer axes, or is empty.
        """
        if key not in self._shapes:
            raise BackboneError(f"lacks the key {key!r}")
        shape = self._shapes[key]
        if axis >= len(shape) or not all(shape):
            raise BackboneError(f"has {key!r} in the shape {shape}, from which nothing can be told")
        return shape[axis]

    def count(self, path: str) -> int:
        """Return how many modules a list at ``path`` has: those numbered 0, 1, ... without a gap."""
        number = 0
        while f"{path}.{number}" in self._paths:
            number += 1
        return number


def shortest_factor(widths: Sequence[int], products: Sequence[int]) -> float:
    """Return the shortest decimal number f with ``int(width * f) == product`` for every pair.

    Networks are described by such factors (2.66), while only the rounded products are in their shapes.

    Raises:
        BackboneError: no factor gives all products.
    """
    low = max(product / width for width, product in zip(widths, products, strict=True))
    for decimals in range(_MOST_DECIMALS + 1):
        factor: float = math.ceil(low * 10**decimals - 1e-9) / 10**decimals
        if all(int(width * factor) == product for width, product in zip(widths, products, strict=True)):
            return factor
    raise BackboneError(f"has widths {list(products)} in layers of {list(widths)}: no common expansion")
