"""Videos in: what is known of one before it is decoded, and its frames one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from polyrestore.errors import ImageError
from polyrestore.files import require_regular
from polyrestore.video.colour import (
    FULL_RANGE_FORMATS,
    MATRICES,
    PIXEL_FORMATS,
    REORDERED_FORMATS,
    UNSPECIFIED_MATRIX,
    Samples,
    guess_matrix,
)
from polyrestore.video.kinds import require_installed

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane
    from av.video.stream import VideoStream

_UPRIGHT = (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)


@dataclass(frozen=True)
class VideoFacts:
    """What is kept of a video's pictures beside their samples.

    Attributes:
        width: of the frames as they are stored, in pixels.
        height: likewise.
        samples: how the samples are meant.
        time_base: the unit of times, in seconds.
        rate: frames in a second, the mean; None where nobody knows.
        pixel_aspect: width of a pixel by its height; None for square ones.
        display_matrix: nine whole numbers that turn the frames for display; None for upright ones.
        turns: how many quarters of a turn, against the clock, show the frames upright; 0 where they are
            turned by something else.
        colour_tags: FFmpeg's numbers of the primaries, the transfer, the matrix and the range.
        told_frames: how many frames the file says that it holds; 0 where it does not.
        told_seconds: how long the file says that it lasts; None where it does not.
    """

    width: int
    height: int
    samples: Samples
    time_base: Fraction
    rate: Fraction | None
    pixel_aspect: Fraction | None
    display_matrix: tuple[int, ...] | None
    turns: int
    colour_tags: tuple[int, int, int, int]
    told_frames: int
    told_seconds: float | None


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video.

    Attributes:
        number: from 0.
        planes: brightness (H, W), blue and red difference (h, w): uint8, or uint16 for 10 bits.
        time: in units of the time base.
        duration: likewise; 0 where it is not known.
    """

    number: int
    planes: list[NDArray[np.generic]]
    time: int
    duration: int


@dataclass
class Damage:
    """What of a video could not be decoded.

    Attributes:
        packets: how many packets were left out.
        frames: how many frames were left out because their times do not rise.
        ended: why reading ended before the file's end; None where it did not.
    """

    packets: int = 0
    frames: int = 0
    ended: str | None = None


@contextmanager
def opened_video(path: Path) -> Iterator[InputContainer]:
    """Yield a file that PyAV has opened.

    Raises:
        ImageError: it is missing, or no video.
        MissingExtraError: PyAV is not installed.
    """
    require_installed(path)
    import av
    from av.error import FFmpegError

    try:
        require_regular(path)
        container = av.open(str(path), "r", metadata_errors="replace")
    except (FFmpegError, OSError, ValueError) as error:
        raise ImageError(f"{path}: not a readable video ({describe(error)})") from error
    with container:
        yield container


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the stream that is restored: the first one that is not a cover picture.

    Raises:
        ImageError: there is none.
    """
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise ImageError(f"{path}: holds no video, but {_kinds(container)}")


def _kinds(container: InputContainer) -> str:
    return ", ".join(stream.type for stream in container.streams) or "nothing"


@dataclass
class VideoReader:
    """Decodes one video from its beginning, as often as it is asked for.

    Attributes:
        path: of the file.
        damage: what could not be decoded, of the latest time.
    """

    path: Path
    damage: Damage = field(default_factory=Damage)
    _decode_times: deque[int] = field(default_factory=deque, repr=False)

    def facts(self) -> VideoFacts:
        """Return what is known of the first frame.

        Raises:
            ImageError: there is no frame, or its kind is not restored.
            MissingExtraError: PyAV is not installed.
        """
        with opened_video(self.path) as container:
            stream = video_stream(container, self.path)
            for frame in self._decoded(container, stream):
                return self._facts(container, stream, frame)
        raise ImageError(f"{self.path}: holds no frame that can be decoded")

    def frames(self, facts: VideoFacts) -> Iterator[Frame]:
        """Yield the frames in the order of their times; what cannot be decoded is left out.

        Raises:
            ImageError: frames are interlaced, or change their size or kind.
        """
        self.damage = Damage()
        self._decode_times.clear()
        number, following, last = 0, 0, None
        with opened_video(self.path) as container:
            stream = video_stream(container, self.path)
            # It has times of decoding only, which belong to the frames in the order in which they are shown.
            untimed = container.format.name == "avi"
            for frame in self._decoded(container, stream):
                self._require_alike(frame, facts, number)
                time = following if frame.pts is None else frame.pts
                if self._decode_times:
                    decoded = self._decode_times.popleft()
                    time = decoded if untimed else time
                if last is not None and time <= last:
                    self.damage.frames += 1
                    continue
                duration = max(0, frame.duration or 0)
                following, last = time + max(1, duration), time
                yield Frame(number, planes_of(frame), time, duration)
                number += 1

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        from av.error import FFmpegError

        stream.thread_type = "AUTO"
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError as error:
                self.damage.ended = describe(error)
                packet = None
            if packet is not None and packet.size and packet.dts is not None:
                self._decode_times.append(packet.dts)
            try:
                yield from stream.decode(packet)
            except EOFError:
                return
            except FFmpegError:
                self.damage.packets += 1
            if packet is None or packet.size == 0 and packet.dts is None:
                return

    def _require_alike(self, frame: VideoFrame, facts: VideoFacts, number: int) -> None:
        if frame.interlaced_frame:
            raise ImageError(
                f"{self.path}: interlaced, and only whole frames are restored; deinterlace it first, as with "
                "ffmpeg -vf bwdif"
            )
        if (frame.width, frame.height) != (facts.width, facts.height):
            raise ImageError(
                f"{self.path}: its size changes from {facts.width}x{facts.height} to "
                f"{frame.width}x{frame.height} at frame {number}; split it there"
            )
        if _same_samples(frame.format.name) != facts.samples.pixel_format:
            raise ImageError(
                f"{self.path}: its pixel format changes from {facts.samples.pixel_format} to "
                f"{frame.format.name} at frame {number}; split it there"
            )

    def _facts(self, container: InputContainer, stream: VideoStream, frame: VideoFrame) -> VideoFacts:
        name = _same_samples(frame.format.name)
        if name not in PIXEL_FORMATS:
            raise ImageError(
                f"{self.path}: its pixel format is {frame.format.name}; restored are "
                f"{', '.join(PIXEL_FORMATS)}: convert it first, as with ffmpeg -pix_fmt yuv444p"
            )
        matrix = int(frame.colorspace)
        if matrix == UNSPECIFIED_MATRIX:
            matrix = guess_matrix(frame.height)
        if matrix not in MATRICES:
            raise ImageError(f"{self.path}: the colour matrix {matrix} of ITU-T H.273 is not read")
        if stream.time_base is None:
            raise ImageError(f"{self.path}: does not say what its times are counted in")
        # 1 and 2 are FFmpeg's numbers of the narrow and of the full range.
        full = int(frame.color_range) == 2 or frame.format.name in FULL_RANGE_FORMATS
        display = _display_matrix(frame)
        seconds = None if container.duration is None else container.duration / 1e6
        return VideoFacts(
            width=frame.width,
            height=frame.height,
            samples=Samples(name, matrix, full),
            time_base=stream.time_base,
            rate=stream.average_rate or stream.guessed_rate,
            pixel_aspect=stream.sample_aspect_ratio,
            display_matrix=display,
            turns=0 if display is None else frame.rotation // 90 % 4 if frame.rotation % 90 == 0 else 0,
            colour_tags=(
                int(frame.color_primaries),
                int(frame.color_trc),
                int(frame.colorspace),
                int(frame.color_range),
            ),
            told_frames=stream.frames,
            told_seconds=seconds,
        )


def planes_of(frame: VideoFrame) -> list[NDArray[np.generic]]:
    """Return a frame's samples, without what fills up their rows."""
    name = _same_samples(frame.format.name)
    if frame.format.name in REORDERED_FORMATS:
        frame = frame.reformat(format=name)
    kind = np.dtype("<u2") if PIXEL_FORMATS[name].bits > 8 else np.dtype(np.uint8)
    planes = []
    for plane in frame.planes:
        planes.append(samples_of(plane, kind)[: plane.height, : plane.width].copy())
    return planes


def samples_of(plane: VideoPlane, kind: np.dtype[Any]) -> NDArray[Any]:
    """Return the memory of a plane, with what fills up its rows: (H, W or more), not copied."""
    return np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind.itemsize)


def describe(error: Exception) -> str:
    """Return what FFmpeg or the system says of an error, in few words."""
    said: Any = getattr(error, "strerror", None)
    return " ".join(str(said or error).split()) or type(error).__name__


def _same_samples(name: str) -> str:
    return FULL_RANGE_FORMATS.get(name) or REORDERED_FORMATS.get(name, name)


def _display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    numbers = tuple(np.frombuffer(memoryview(cast(Any, data)), np.int32).tolist())
    return None if numbers == _UPRIGHT or len(numbers) != len(_UPRIGHT) else numbers
