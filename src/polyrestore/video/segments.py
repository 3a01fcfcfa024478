"""The frames of a result, encoded a few at a time into files that a run that was killed goes on from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from polyrestore.errors import OutputError
from polyrestore.files import atomic_path, write_text
from polyrestore.video.encoders import VideoEncoder
from polyrestore.video.reading import Frame, VideoFacts, describe, samples_of

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SEGMENT_FRAMES = 48
"""How many frames are lost at most when a run is killed; each segment begins with a whole picture."""

_PLAN_NAME = "plan.json"
_USUAL_RATE = Fraction(25)
_HIGHEST_RATE = 1000


@dataclass(frozen=True)
class Encoding:
    """How frames are encoded.

    Attributes:
        encoder: by what.
        options: FFmpeg's options for it.
        pixel_format: in which the samples are stored.
        facts: of the video that the frames are of.
    """

    encoder: VideoEncoder
    options: Mapping[str, str]
    pixel_format: str
    facts: VideoFacts


class SegmentFolder:
    """A hidden folder beside a result, with what is finished of it.

    Args:
        folder: made when something is written.
        settings: all that decides about the frames, as plain JSON values. What was written under others is
            removed.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self._settings = json.loads(json.dumps(settings))
        if self._read().get("settings") != self._settings:
            discard_segments(folder)

    def plan(self) -> Any:
        """Return what :meth:`set_plan` was given; None where nothing was."""
        return self._read().get("plan")

    def set_plan(self, plan: Any) -> None:
        """Keep what was found out about the video, as plain JSON values.

        Raises:
            OutputError: it cannot be written.
        """
        write_text(self.folder / _PLAN_NAME, json.dumps({"settings": self._settings, "plan": plan}))

    def finished(self) -> int:
        """Return how many segments are finished, counted from the first one."""
        count = 0
        while self.path(count).is_file():
            count += 1
        return count

    def path(self, number: int) -> Path:
        """Return the place of a segment."""
        return self.folder / f"{number:06}.mkv"

    def write(self, number: int, frames: Iterable[Frame], encoding: Encoding) -> None:
        """Write a segment, whole or not at all.

        Raises:
            OutputError: it cannot be encoded or written.
        """
        path = self.path(number)
        with atomic_path(path) as temporary:
            _encode(temporary, frames, encoding)

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Yield the packets of all finished segments, one for each frame, in their order.

        Raises:
            OutputError: a segment cannot be read.
        """
        import av
        from av.error import FFmpegError

        for number in range(self.finished()):
            try:
                with av.open(str(self.path(number)), "r") as container:
                    for packet in container.demux(container.streams.video[0]):
                        if packet.size:
                            yield packet
            except FFmpegError as error:
                raise OutputError(f"cannot read {self.path(number)}: {describe(error)}") from error

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / _PLAN_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def discard_segments(folder: Path) -> None:
    """Remove what there is of a result that is finished, or that is made anew."""
    shutil.rmtree(folder, ignore_errors=True)


def in_segments(frames: Iterator[Frame]) -> Iterator[Iterator[Frame]]:
    """Yield the frames of one segment after another; each has to be used up before the next is asked for."""
    for first in frames:
        yield _joined(first, islice(frames, SEGMENT_FRAMES - 1))


def _joined(first: Frame, others: Iterator[Frame]) -> Iterator[Frame]:
    yield first
    yield from others


def _encode(path: Path, frames: Iterable[Frame], encoding: Encoding) -> None:
    import av
    from av.error import FFmpegError

    facts = encoding.facts
    rate = facts.rate if facts.rate and 0 < facts.rate <= _HIGHEST_RATE else _USUAL_RATE
    rate = rate.limit_denominator(_HIGHEST_RATE + 1)
    try:
        with av.open(str(path), "w", format="matroska") as container:
            name, options = encoding.encoder.name, dict(encoding.options)
            stream = cast("VideoStream", container.add_stream(name, rate=rate, options=options))
            _set_up(stream, encoding, 1 / rate)
            for number, frame in enumerate(frames):
                # The times of a segment only say in which order frames are; theirs are set when it is joined.
                for packet in stream.encode(_video_frame(frame, encoding, number)):
                    container.mux(packet)
            for packet in stream.encode(None):
                container.mux(packet)
    except FFmpegError as error:
        raise OutputError(f"cannot write {path}: {describe(error)}") from error


def _set_up(stream: VideoStream, encoding: Encoding, time_base: Fraction) -> None:
    facts, context = encoding.facts, stream.codec_context
    context.width, context.height = facts.width, facts.height
    context.pix_fmt = encoding.pixel_format
    context.time_base = time_base
    if facts.pixel_aspect:
        context.sample_aspect_ratio = facts.pixel_aspect
    primaries, transfer, matrix, _ = facts.colour_tags
    context.color_primaries, context.color_trc, context.colorspace = primaries, transfer, matrix
    context.color_range = 2 if facts.samples.full_range else facts.colour_tags[3]


def _video_frame(frame: Frame, encoding: Encoding, number: int) -> VideoFrame:
    from av.video.frame import VideoFrame

    facts = encoding.facts
    made = VideoFrame(facts.width, facts.height, facts.samples.pixel_format)
    for plane, samples in zip(made.planes, frame.planes, strict=True):
        samples_of(plane, samples.dtype)[: samples.shape[0], : samples.shape[1]] = samples
    if encoding.pixel_format != facts.samples.pixel_format:
        made = made.reformat(format=encoding.pixel_format)
    made.colorspace = facts.colour_tags[2]
    made.color_range = 2 if facts.samples.full_range else facts.colour_tags[3]
    made.pts = number
    return made
