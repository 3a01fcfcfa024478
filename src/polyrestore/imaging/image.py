"""What an image file is made of, and what each file format is able to hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from polyrestore.imaging.metadata.extras import Extras
from polyrestore.notes import Note

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class FormatDescription:
    """The facts that reading and writing need, so that no caller special-cases a format by name.

    Attributes:
        name: Pillow's name of the format.
        suffixes: file endings in lower case; the first one is used for new files.
        bit_depths: bits per channel that can be written.
        grey: True when a single channel can be written.
        alpha: True when an alpha channel can be written.
        grey_with_alpha: bits per channel with which a single channel can have alpha.
        icc_profile: True when a colour profile can be embedded.
        exif: True when EXIF can be embedded.
        dpi: True when the resolution can be stored.
        maximum_side_px: the longest width or height that the format allows.
        scale: True when floats and integers of 32 bits can be written.
        further_channels: True when channels can be written that are neither colour nor alpha.
    """

    name: str
    suffixes: tuple[str, ...]
    bit_depths: tuple[int, ...]
    grey: bool
    alpha: bool
    grey_with_alpha: tuple[int, ...]
    icc_profile: bool
    exif: bool
    dpi: bool
    maximum_side_px: int
    scale: bool = False
    further_channels: bool = False


MODES_8 = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""How the modes of 8-bit images are called, by the number of their channels."""

MODES_16 = {1: "L16", 2: "LA16", 3: "RGB16", 4: "RGBA16"}
"""How the modes of 16-bit images are called, by the number of their channels."""

# High enough that a restored photograph is not damaged again.
DEFAULT_QUALITY = 95

Quality: TypeAlias = int | Literal["keep"] | None
"""Of a lossy file: from 1 to 100 on the scale of its format, ``"keep"`` for how the input was compressed, or
None for what neither damages the picture again nor wastes space."""


@dataclass(frozen=True)
class SampleScale:
    """Which values of a file stand for black and white, where the type of its samples does not say so.

    Attributes:
        dtype: numpy's name of the type, such as "float32" or "uint32".
        black: the value that is read as 0.
        white: the value that is read as 1.
    """

    dtype: str
    black: float
    white: float


@dataclass(frozen=True)
class Frame:
    """When a picture of an animation is shown.

    Attributes:
        duration_ms: how long, in milliseconds; 0 leaves it to the viewer.
        loops: how often the whole animation is shown; 0 for ever.
        shown: False for the picture of an animated PNG that is only seen where animations are not.
        background: of the canvas: red, green, blue and alpha from 0 to 255.
    """

    duration_ms: float = 0.0
    loops: int = 0
    shown: bool = True
    background: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class ImageMetadata:
    """Everything of a file beside its colours. The defaults describe a plain 8-bit RGB PNG.

    Attributes:
        format: name of the file's format, a key of :data:`~polyrestore.imaging.FORMATS`.
        mode: what the file held: a Pillow mode, or "L16", "LA16", "RGB16", "RGBA16" for 16 bits per channel.
        bit_depth: bits per channel that a written file should have: 8, 10, 12 or 16.
        grey: True when the file has no colour; it is then written with one channel.
        alpha: (1, H, W) in [0, 1], None for an opaque image.
        icc_profile: the colour profile, byte for byte; the pixels are not converted.
        exif: the EXIF block as a TIFF structure without a prefix, orientation already set to 1.
        dpi: horizontal and vertical resolution in pixels per inch.
        extras: all else that describes the picture: XMP, IPTC, comments, texts, how its colours are meant.
        lossless: False when the file's pixels went through lossy compression (JPEG, AVIF, lossy WebP, ...).
        orientation: the EXIF orientation that was found, 1 to 8; the pixels are upright already.
        encoding: how the file's pixels were compressed, as options of its format's writer, for results in the
            same format: the tables and the sampling of a JPEG, the chroma of a HEIC.
        scale: of floats and integers of 32 bits; ``bit_depth`` then is for formats that cannot hold these.
        further: (H, W, N) in the file's own type, channels that are neither colour nor alpha, as they are.
        frame: when the picture is shown, for one of several in an animation.
    """

    format: str = "PNG"
    mode: str = "RGB"
    bit_depth: int = 8
    grey: bool = False
    alpha: Tensor | None = field(default=None, repr=False)
    icc_profile: bytes | None = field(default=None, repr=False)
    exif: bytes | None = field(default=None, repr=False)
    dpi: tuple[float, float] | None = None
    extras: Extras = field(default_factory=Extras, repr=False)
    lossless: bool = True
    orientation: int = 1
    encoding: Mapping[str, Any] = field(default_factory=dict, repr=False)
    scale: SampleScale | None = None
    further: NDArray[Any] | None = field(default=None, repr=False)
    frame: Frame | None = None


@dataclass(frozen=True, eq=False)
class Image:
    """A decoded image file.

    Attributes:
        pixels: (3, H, W) float32 RGB in [0, 1]; where that was asked for, levels as the file has them: uint8
            from 0 to 255, or uint16 from 0 to 65535. A grey image has three equal channels; those of levels
            share their memory, so that nothing may be written into them.
        metadata: what has to be kept when the image is written again.
        notes: one sentence for each thing of the file that could not be read as it was.
    """

    pixels: Tensor
    metadata: ImageMetadata
    notes: tuple[Note, ...] = ()
