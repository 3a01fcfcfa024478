"""What every recogniser offers, whatever network it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from polyrestore.backbones.bounds import Bound, check_options
from polyrestore.errors import RecognitionError
from polyrestore.storage.tensors import tensors_sha256


@dataclass(frozen=True)
class Reference:
    """Where the weights of a recogniser are that its bundle does not hold.

    Attributes:
        path: a folder, a file, a name on the hub, or the name of a recogniser that comes with the package.
        sha256: fingerprint of the files that decide about the embedding.
        revision: commit on the hub, for a name.
    """

    path: str
    sha256: str
    revision: str | None = None


@dataclass(frozen=True, eq=False)
class Reading:
    """What a recogniser sees in one image.

    Attributes:
        embedding: (D,) unit vector, to be compared with prototypes.
        severities: by degradation, how strong it is if it is there, from 0 to 1; empty where the recogniser
            does not estimate it.
        detail: (H,) unit vector of what the embedding leaves out, for prototypes that are longer than it:
            they are compared with both, one after the other; None where there is no more.
    """

    embedding: Tensor
    severities: Mapping[str, float] = field(default_factory=dict)
    detail: Tensor | None = None


class BaseRecogniser(nn.Module):
    """A network that embeds whole images, to be compared with prototypes.

    Attributes:
        kind: its name in :data:`polyrestore.recognition.RECOGNISERS`.
        external: whether its weights stay outside of the bundle, which then refers to them.
        bounds: what each option may be; where it is empty, the constructor alone decides.
        options: the plain values that rebuild it.
        dimension: length of the embedding.
        detail_dimension: length of what :meth:`describe` has beside the embedding.
    """

    kind: ClassVar[str]
    external: ClassVar[bool] = False
    bounds: ClassVar[Mapping[str, Bound]] = {}
    options: dict[str, object]
    dimension: int
    detail_dimension: int = 0

    @classmethod
    def build(cls, options: Mapping[str, Any]) -> Self:
        """Build an untrained one from its options; a bundle then fills in its weights.

        Raises:
            RecognitionError: an option is unknown or cannot be used.
        """
        try:
            check_options(cls.bounds, options)
            return cls(**options)
        except (TypeError, ValueError) as error:
            raise RecognitionError(f"recogniser {cls.kind!r} cannot be built: {error}") from error

    @classmethod
    def open(cls, reference: Reference, options: Mapping[str, Any]) -> Self:
        """Open one whose weights are elsewhere.

        Raises:
            RecognitionError: the weights are missing, are not those that were referred to, or an option
                cannot be used.
        """
        raise RecognitionError(f"the weights of recogniser {cls.kind!r} belong into its bundle")

    def embed(self, image: Tensor) -> Tensor:
        """Return unit vectors (B, D) for whole images (B, 3, H, W) of any size, RGB in [0, 1]."""
        raise NotImplementedError

    def describe(self, image: Tensor) -> Tensor:
        """Return the embedding and the detail one after the other, (B, D + H), of images (B, 3, H, W).

        The embedding was made to tell known degradations apart; what is taught later may need more.
        """
        return self.embed(image)

    def read(self, image: Tensor) -> Reading:
        """Return the embedding of one image (1, 3, H, W), and the severities where they are estimated."""
        return Reading(self.embed(image)[0])

    def reference(self) -> Reference | None:
        """Return where the weights are, None when they belong into the bundle."""
        return None

    def fingerprint(self) -> str:
        """Return the SHA-256 by which adapters name who made their prototype.

        It is that of the reference, or :func:`~polyrestore.storage.tensors.tensors_sha256` of kind and
        weights.
        """
        reference = self.reference()
        return tensors_sha256(self.state_dict(), self.kind) if reference is None else reference.sha256

    def forward(self, image: Tensor) -> Tensor:
        """Return :meth:`embed`."""
        return self.embed(image)
