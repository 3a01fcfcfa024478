"""What a request is answered with when it is not answered: a status, a stable code and one sentence."""

from __future__ import annotations

from collections.abc import Mapping

from polyrestore.errors import (
    DeviceMemoryError,
    ImageTooLargeError,
    MissingExtraError,
    PolyrestoreError,
    StoppedError,
)

STATUS: dict[str, int] = {
    "busy": 503,
    "empty": 422,
    "forbidden": 403,
    "internal": 500,
    "invalid": 422,
    "method_not_allowed": 405,
    "not_found": 404,
    "out_of_memory": 507,
    "stopped": 503,
    "too_many_bytes": 413,
    "too_many_seconds": 504,
    "too_slow": 408,
    "unauthorized": 401,
}
"""The codes of refusals that are the page's own, and the HTTP status of each."""

FROM_ERRORS: dict[str, int] = {
    "image": 422,
    "not_an_image": 422,
    "image_too_large": 413,
    "missing_extra": 422,
    "composition": 422,
    "notation": 422,
    "output": 422,
    "unknown_format": 422,
    "unknown_runtime": 422,
    "bundle": 422,
    "backbone": 422,
    "device": 503,
}
"""The codes of the package's errors that a request can lead to, and the HTTP status of each."""


class RefusedError(PolyrestoreError):
    """A request that is refused.

    Attributes:
        word: one of :data:`STATUS`, or the code of an error of the package.
        status: of HTTP.
        values: numbers and names in the sentence, so that it can be said in another language.
        retry_after_s: when to try again; None where that is no use.
    """

    def __init__(
        self,
        word: str,
        sentence: str,
        values: Mapping[str, float | str] | None = None,
        *,
        status: int | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(sentence)
        self.word = word
        self.status = status or STATUS[word]
        self.values = dict(values or {})
        self.retry_after_s = retry_after_s

    def as_json(self) -> dict[str, object]:
        """Return what the answer says."""
        return {"error": {"code": self.word, "message": " ".join(str(self).split()), "values": self.values}}


def refusal_of(error: PolyrestoreError, max_megapixels: float) -> RefusedError:
    """Return what a request is told about an error.

    Args:
        error: that was raised while an image was read, restored or written.
        max_megapixels: the limit, to be named.
    """
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, StoppedError):
        return RefusedError("stopped", str(error))
    if isinstance(error, DeviceMemoryError):
        return out_of_memory()
    values: dict[str, float | str] = {}
    if isinstance(error, ImageTooLargeError):
        values["max_megapixels"] = max_megapixels
    if isinstance(error, MissingExtraError):
        values["extra"] = error.extra
    # Messages end with the option that raises a limit, which whoever uses the page need not have.
    sentence = str(error).partition("; --max-megapixels")[0]
    return RefusedError(error.code, sentence, values, status=FROM_ERRORS.get(error.code, 422))


def out_of_memory() -> RefusedError:
    """Return the refusal of an image for which memory ran out."""
    return RefusedError("out_of_memory", "there is not enough memory for this image; take a smaller one")
