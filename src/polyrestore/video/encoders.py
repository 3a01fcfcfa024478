"""How results are compressed: the encoders that are known, and what each can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polyrestore.errors import OutputError, UnknownFormatError, unknown_name

_COMMON = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le")


@dataclass(frozen=True)
class VideoEncoder:
    """One of FFmpeg's encoders.

    Attributes:
        name: FFmpeg's.
        containers: FFmpeg's names of those that hold what it makes.
        formats: the pixel formats that it takes, of those that are restored.
        quality: what it is told when nothing is asked for, on its own scale, lower for better; None where it
            loses nothing.
        worst: the end of that scale, which begins at 0.
        odd_sizes: whether it takes odd widths and heights where colours are halved.
        options: what else it is told.
    """

    name: str
    containers: tuple[str, ...]
    formats: tuple[str, ...]
    quality: int | None
    worst: int = 51
    odd_sizes: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    def options_for(self, quality: int | None) -> dict[str, str]:
        """Return FFmpeg's options for a quality; None for the usual one.

        Raises:
            OutputError: it is not on the encoder's scale.
        """
        wanted = self.quality if quality is None else quality
        if self.quality is None:
            if quality is not None:
                raise OutputError(f"{self.name} loses nothing and has no quality to choose")
            return dict(self.options)
        if not isinstance(wanted, int) or not 0 <= wanted <= self.worst:
            raise OutputError(f"the quality of {self.name} must be from 0 to {self.worst}, not {wanted}")
        if self.name == "mpeg4":
            # Its scale begins at 1, in FFmpeg's units of a quantiser.
            return {**self.options, "flags": "+qscale", "global_quality": str(118 * max(1, wanted))}
        return {**self.options, "crf": str(wanted)}

    def stored_format(self, pixel_format: str) -> str:
        """Return the pixel format that samples are stored in: their own, or the nearest that is taken."""
        fewer_bits = pixel_format.removesuffix("10le")
        fewer_colours = pixel_format.replace("422", "420").replace("444", "420")
        for choice in (pixel_format, fewer_bits, fewer_colours):
            if choice in self.formats:
                return choice
        return "yuv420p"


_EVERYWHERE = ("mp4", "mov", "matroska")
ENCODERS: dict[str, VideoEncoder] = {
    encoder.name: encoder
    for encoder in (
        VideoEncoder("libx264", _EVERYWHERE, _COMMON, 17, options={"preset": "medium", "bf": "0"}),
        VideoEncoder(
            "libx265",
            _EVERYWHERE,
            _COMMON,
            20,
            options={"preset": "medium", "x265-params": "bframes=0:log-level=error"},
        ),
        VideoEncoder(
            "libvpx-vp9",
            ("webm", "matroska", "mp4"),
            _COMMON[:3],
            24,
            63,
            odd_sizes=True,
            options={"b": "0", "row-mt": "1", "lag-in-frames": "0"},
        ),
        VideoEncoder(
            "libsvtav1",
            ("webm", "matroska", "mp4"),
            ("yuv420p", "yuv420p10le"),
            24,
            63,
            options={"preset": "6"},
        ),
        VideoEncoder("mpeg4", _EVERYWHERE, ("yuv420p",), 2, 31, odd_sizes=True, options={"bf": "0"}),
        VideoEncoder("ffv1", ("matroska",), _COMMON, None, odd_sizes=True),
    )
}
"""By name, in the order in which they are taken where none is named."""


def require_video_codec(name: str | None, quality: int | None) -> None:
    """Refuse an encoder that is not known, and a quality that it does not have.

    Args:
        name: as FFmpeg calls it; None for what suits the container.
        quality: None for the usual one.

    Raises:
        UnknownFormatError: there is no such encoder.
        OutputError: the quality is not on its scale.
    """
    if name is not None and name not in ENCODERS:
        raise unknown_name("video codec", name, ENCODERS, UnknownFormatError)
    if name is not None:
        ENCODERS[name].options_for(quality)
    elif quality is not None and quality < 0:
        raise OutputError(f"the quality of a video must be at least 0, not {quality}")


def choose_encoder(
    name: str | None, container: str, pixel_format: str, size_px: tuple[int, int]
) -> VideoEncoder:
    """Return what a result is compressed with.

    Args:
        name: as FFmpeg calls it; None for the first one that is there and holds all that there is.
        container: FFmpeg's name of it.
        pixel_format: of the frames.
        size_px: width and height of the frames.

    Raises:
        OutputError: the encoder is not built in, or does not go with the container or the size; or none does.
    """
    odd = (size_px[0] % 2 and "444" not in pixel_format) or (size_px[1] % 2 and "420" in pixel_format)
    size = f"{size_px[0]}x{size_px[1]}"
    if name is not None:
        encoder = ENCODERS[name]
        if container not in encoder.containers:
            raise OutputError(f"{name} does not go into {container}; take {', '.join(encoder.containers)}")
        if not _is_built_in(name):
            raise OutputError(f"{name} is not built into this PyAV; take another --video-codec")
        if odd and not encoder.odd_sizes:
            raise OutputError(f"{name} takes no odd sizes such as {size}; take another --video-codec")
        return encoder
    fitting = [
        encoder
        for encoder in ENCODERS.values()
        if container in encoder.containers and (encoder.odd_sizes or not odd) and _is_built_in(encoder.name)
    ]
    whole = [encoder for encoder in fitting if encoder.stored_format(pixel_format) == pixel_format]
    for encoder in (*whole, *fitting):
        return encoder
    raise OutputError(f"no encoder of this PyAV makes a {container} file of {size} in {pixel_format}")


def _is_built_in(name: str) -> bool:
    import av
    from av.codec.codec import UnknownCodecError

    try:
        codec: Any = av.codec.Codec(name, "w")
    except UnknownCodecError:
        return False
    return codec is not None
