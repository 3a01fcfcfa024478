"""Exponential moving average of the trained parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import Parameter


class ParameterAverage:
    """Keeps the average of parameters over the steps, and puts it in their place for a while."""

    def __init__(self, parameters: Mapping[str, Parameter], decay: float) -> None:
        self.decay = decay
        self._parameters = dict(parameters)
        self.values = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    def update(self, step: int) -> None:
        """Take the current parameters in; early steps forget faster, so that the start does not linger."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = [parameter.detach() for parameter in self._parameters.values()]
        torch._foreach_lerp_(list(self.values.values()), current, 1 - decay)

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Go back to saved averages."""
        for name, value in self.values.items():
            value.copy_(values[name])

    def apply(self) -> None:
        """Put the averages in place of the parameters for good."""
        self._copy(self.values)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Run a block with the averages in place of the parameters."""
        kept = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        try:
            self.apply()
            yield
        finally:
            self._copy(kept)

    def _copy(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(values[name])
