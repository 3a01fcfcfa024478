"""What a bundle is in memory: everything that a restorer is made of, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, JsonValue
from torch import Tensor

from polyrestore.adapters import Adapter
from polyrestore.backbones.base import Backbone
from polyrestore.recognition.similarity import (
    FULL_NORMALISATIONS,
    RecognitionSettings,
    full_normalisation,
)

if TYPE_CHECKING:
    from polyrestore.recognition import BaseRecogniser


UNKNOWN_LICENCE = "unknown"
"""In place of an SPDX identifier: nobody has said under which licence the weights are."""


class MeasuredResult(BaseModel):
    """One figure, with the protocol without which it means nothing.

    Attributes:
        data: the images it was measured on ("CBSD68, noise 25").
        metric: what was measured, with its unit ("PSNR (dB)").
        protocol: how ("RGB, 8 bit, blind").
        before: the metric of the degraded input, when it was measured.
        after: the metric of the restored output.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    data: str
    metric: str = "PSNR (dB)"
    protocol: str
    before: float | None = None
    after: float


class BundleInfo(BaseModel):
    """Where a bundle came from and what it is worth.

    Attributes:
        licence: SPDX identifier of the weights' licence, or ``UNKNOWN_LICENCE``.
        version: of the weights, raised whenever they are trained again.
        summary: one or two sentences for the top of the model card.
        provenance: one line per source of training data, with its licence.
        results: measured figures.
        training: recipes, seeds and library versions, as written by the training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    licence: str = "Apache-2.0"
    version: str = "1"
    summary: str = ""
    provenance: tuple[str, ...] = ()
    results: tuple[MeasuredResult, ...] = ()
    training: dict[str, JsonValue] = {}


@dataclass
class Bundle:
    """A restorer's parts, in memory and on the CPU.

    Attributes:
        name: of the bundle; letters, digits, ``_`` and ``-``.
        backbone: the shared network, without adapters in it.
        adapters: by name, which is usually that of a degradation.
        recogniser: None when the bundle cannot tell degradations apart by itself.
        prototypes: (D,) embeddings by adapter name, and ``clean``.
        recognition_settings: what the recognition needs beside the prototypes; plain JSON values.
        info: origin, licence and measured results.
    """

    name: str
    backbone: Backbone
    adapters: dict[str, Adapter] = field(default_factory=dict)
    recogniser: BaseRecogniser | None = None
    prototypes: dict[str, Tensor] = field(default_factory=dict)
    recognition_settings: dict[str, Any] = field(default_factory=dict)
    info: BundleInfo = field(default_factory=BundleInfo)

    @property
    def activation(self) -> str:
        """How its recognition turns similarities into probabilities."""
        return str(self.recognition_settings.get("activation", RecognitionSettings.activation))

    def composing_settings(self, activation: str = "softmax") -> dict[str, Any]:
        """Return those of the recognition settings that the adapters ask for, whatever recognises.

        Args:
            activation: of what recognises.
        """
        normalisation = self.recognition_settings.get("normalisation")
        if normalisation in FULL_NORMALISATIONS:
            normalisation = full_normalisation(activation)
        return {"normalisation": normalisation} if normalisation else {}
