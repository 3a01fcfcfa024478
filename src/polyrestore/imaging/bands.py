"""Images in bands of rows, for work whose intermediate values need not all be there at once."""

from __future__ import annotations

_BAND_ROWS = 256


def bands_of(height_px: int) -> list[slice]:
    """Return the rows of an image in bands, from the top; the last one may be lower."""
    return [slice(top, min(top + _BAND_ROWS, height_px)) for top in range(0, height_px, _BAND_ROWS)]
