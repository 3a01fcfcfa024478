"""How much the page takes on: sizes, numbers and seconds."""

from __future__ import annotations

from dataclasses import dataclass

from polyrestore.errors import ServiceError

MAX_MEGAPIXELS = 100.0


@dataclass(frozen=True)
class Limits:
    """What is refused, so that neither memory nor time runs out.

    Attributes:
        max_mb: of one upload, in MB of 10^6 bytes; all that are there at once may have twice as much.
        max_megapixels: of one picture; more is refused before it is decoded.
        queue: how many images may wait behind the one that is restored.
        seconds: that restoring one image may take.
        receive_s: that receiving one upload may take.

    Raises:
        ServiceError: a limit is not above 0.
    """

    max_mb: float = 200.0
    max_megapixels: float = MAX_MEGAPIXELS
    queue: int = 16
    seconds: float = 1800.0
    receive_s: float = 120.0

    def __post_init__(self) -> None:
        for name in ("max_mb", "max_megapixels", "queue", "seconds", "receive_s"):
            value = getattr(self, name)
            # Not a number is not above 0 either.
            if not value > 0:
                raise ServiceError(f"the limit {name.replace('_', '-')} must be above 0, not {value:g}")

    @property
    def max_bytes(self) -> int:
        """The most bytes of one upload."""
        return int(self.max_mb * 1e6)

    @property
    def held_bytes(self) -> int:
        """The most bytes of all uploads together that are in memory at once."""
        return 2 * self.max_bytes
