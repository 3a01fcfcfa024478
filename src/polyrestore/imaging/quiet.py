"""Keep the TIFF decoders from talking on standard error: what they say comes back as an exception, once."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging

from PIL import _imaging


@functools.cache
def silence_tiff() -> None:
    """Silence libtiff, as Pillow uses it, and tifffile, from now on and in every thread.

    libtiff prints from C, beside every Python handler. Its handler is taken away where the library lets
    itself be found, through the module that is linked to it; where it is built into that, as on Windows, it
    goes on printing. tifffile and Pillow log, and a
    logger that nobody configured prints.
    """
    for name in ("tifffile", "PIL"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(_imaging.__file__)
        for setter in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler):
            setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
            setter(None)
