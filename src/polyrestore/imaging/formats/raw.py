"""Camera raw: developed by rawpy (LibRaw) to 16 bits, and written as TIFF.

Most makers' files are TIFF structures around the samples of the sensor, and begin as TIFF does. They are told
from photographs by a picture in them whose samples are those of a colour filter or a sensor (TIFF/EP, ISO
12234-2; DNG 1.7, chapter 4), or whose version of DNG is stated.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage

from polyrestore.errors import ImageError, needs_extra
from polyrestore.imaging.exif import EXIF_PREFIX
from polyrestore.imaging.formats.base import FileFormat
from polyrestore.imaging.formats.isobmff import brands
from polyrestore.imaging.image import MODES_16
from polyrestore.imaging.pillow import DecodedPicture
from polyrestore.imaging.tiff import descriptive_exif
from polyrestore.notes import Note

# What files begin with that are no TIFF: Fujifilm, Panasonic, Olympus (three kinds), Minolta, Sigma.
_OWN_STARTS = (b"FUJIFILMCCD-RAW", b"IIU\x00", b"IIRO", b"IIRS", b"MMOR", b"\x00MRM", b"FOVb")
_TIFF_STARTS = {b"II*\x00": "<", b"MM\x00*": ">"}
_PHOTOMETRIC, _SUB_DIRECTORIES, _DNG_VERSION = 262, 330, 50706
_OF_A_SENSOR = frozenset({32803, 34892})
_SHORT = 3
_MOST_DIRECTORIES = 32


class RawFile(PILImage.Image):
    """A camera raw file, of which Pillow knows size and tags alone.

    Attributes:
        raw: rawpy's object.
    """

    format = "RAW"

    def __init__(self, content: bytes) -> None:
        super().__init__()
        with needs_extra("developing camera raw", "raw"):
            import rawpy
        self.raw: Any = rawpy.imread(io.BytesIO(content))
        sizes = self.raw.sizes
        size = (int(sizes.iwidth), int(sizes.iheight))
        # LibRaw gives the size as it is stored; its flip is in quarter turns that exchange the sides.
        self._size = size[::-1] if sizes.flip in (5, 6) else size
        self._mode = "RGB"
        if exif := _exif(content):
            self.info["exif"] = EXIF_PREFIX + exif

    def close(self) -> None:
        """Let go of the file."""
        self.raw.close()
        super().close()


def _open(content: bytes) -> PILImage.Image:
    return RawFile(content)


def _decode(content: bytes, name: Path, opened: PILImage.Image) -> DecodedPicture:
    if not isinstance(opened, RawFile):
        raise ImageError(f"{name}: camera raw is developed from a file or its bytes only")
    samples = np.asarray(opened.raw.postprocess(output_bps=16, use_camera_wb=True))
    note = Note("raw_developed", "camera raw developed to 16-bit sRGB with the camera's white balance")
    return DecodedPicture(samples, MODES_16[samples.shape[2]], upright=True, notes=[note])


def _exif(content: bytes) -> bytes | None:
    """Return what the tags of a raw file that is a TIFF structure say about the photograph."""
    if content[:4] not in _TIFF_STARTS:
        return None
    tags = PILImage.Exif()
    try:
        # Without its end, which holds pictures; the tags and what they point to come first as a rule.
        tags.load(EXIF_PREFIX + content)
        return descriptive_exif(tags)
    except Exception:
        # Makers' structures vary, and tags that cannot be read are no reason to refuse the picture.
        return None


def _starts(content: bytes) -> bool:
    if content.startswith(_OWN_STARTS) or brands(content)[:1] == [b"crx "]:
        return True
    order = _TIFF_STARTS.get(content[:4])
    if order is None:
        return False
    return content[8:10] == b"CR" or _holds_sensor_samples(content, order)


def _holds_sensor_samples(content: bytes, order: str) -> bool:
    """Return whether a directory of a TIFF structure describes samples of a sensor.

    Args:
        content: all bytes of the file; of the first ones alone, nothing is found.
        order: of the bytes of a number, as in :mod:`struct`.
    """
    waiting = [struct.unpack_from(order + "I", content, 4)[0]] if len(content) >= 8 else []
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_DIRECTORIES:
        place = waiting.pop(0)
        if place in seen or not 8 <= place <= len(content) - 2:
            continue
        seen.add(place)
        (count,) = struct.unpack_from(order + "H", content, place)
        end = place + 2 + 12 * count
        if end + 4 > len(content):
            continue
        for entry in range(place + 2, end, 12):
            tag, kind, length, value = struct.unpack_from(order + "HHII", content, entry)
            if tag == _DNG_VERSION:
                return True
            if tag == _PHOTOMETRIC and kind == _SHORT:
                (photometric,) = struct.unpack_from(order + "H", content, entry + 8)
                if photometric in _OF_A_SENSOR:
                    return True
            if tag == _SUB_DIRECTORIES:
                inside = length > 1 and value + 4 * length <= len(content) and length < _MOST_DIRECTORIES
                waiting += struct.unpack_from(f"{order}{length}I", content, value) if inside else (value,)
        waiting.append(struct.unpack_from(order + "I", content, end)[0])
    return False


RAW = FileFormat(
    name="RAW",
    suffixes=(
        *(".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".raf", ".orf", ".rw2", ".rwl"),
        *(".pef", ".srw", ".3fr", ".fff", ".iiq", ".erf", ".mrw", ".x3f", ".kdc", ".dcr", ".mos"),
    ),
    bit_depths=(16,),
    grey=False,
    alpha=False,
    grey_with_alpha=(),
    icc_profile=False,
    exif=False,
    dpi=False,
    maximum_side_px=2**31 - 1,
    starts=_starts,
    open=_open,
    decode=_decode,
    written_as="TIFF",
)
