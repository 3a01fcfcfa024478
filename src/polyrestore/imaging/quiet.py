"""Keep libtiff from talking on standard error: what it says comes back as an exception, once."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator

_STANDARD_ERROR = 2
# Two threads that exchange the same descriptor at a time would never find the way back.
_lock = threading.Lock()


@contextlib.contextmanager
def quiet_tiff() -> Iterator[None]:
    """Silence the TIFF decoders while the block runs.

    libtiff prints from C, beside every Python handler, so that only exchanging the file descriptor helps.
    tifffile logs, and a logger that nobody configured prints.
    """
    with _lock:
        logger = logging.getLogger("tifffile")
        was_disabled = logger.disabled
        logger.disabled = True
        try:
            kept = os.dup(_STANDARD_ERROR)
        except OSError:
            # A process without standard error has nothing to silence.
            kept = None
        try:
            if kept is not None:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, _STANDARD_ERROR)
                os.close(nowhere)
            yield
        finally:
            logger.disabled = was_disabled
            if kept is not None:
                os.dup2(kept, _STANDARD_ERROR)
                os.close(kept)
