"""The result as a file: the restored frames, and packet for packet all that is beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from polyrestore.errors import OutputError
from polyrestore.notes import Note
from polyrestore.video.reading import VideoFacts, describe, opened_video, video_stream
from polyrestore.video.segments import SegmentFolder

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

# What a file says of how it was made, which its writer says anew.
_OF_THE_FILE = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})
_OF_THE_STREAM = ("encoder", "bps", "duration", "number_of_", "_statistics")
_PLAIN_TAGS = frozenset(
    {
        "album", "album_artist", "artist", "comment", "composer", "copyright", "creation_time", "date",
        "description", "disc", "episode_id", "genre", "grouping", "keywords", "language", "lyrics", "network",
        "performer", "show", "synopsis", "title", "track",
    }
)  # fmt: skip


@dataclass(frozen=True)
class FrameTimes:
    """When the frames of a result are shown, in units of the video's time base.

    Attributes:
        times: of each frame.
        durations: of each frame; 0 where it is not known.
    """

    times: Sequence[int]
    durations: Sequence[int]

    def duration(self, number: int) -> int:
        """Return how long a frame is shown: until the next one; the last one as long as it says.

        A last one that says nothing is shown as long as the one before it. What files say of the others is
        counted from frame to frame in the order of decoding.
        """
        if number + 1 < len(self.times):
            return self.times[number + 1] - self.times[number]
        if self.durations[number]:
            return self.durations[number]
        return self.times[number] - self.times[number - 1] if number else 1


def join(
    source: Path,
    segments: SegmentFolder,
    facts: VideoFacts,
    times: FrameTimes,
    target: Path,
    container: str,
) -> tuple[Note, ...]:
    """Write a result from its segments and from the video that they were made of.

    Args:
        source: the video; all streams but the restored one are copied from it.
        segments: all finished.
        facts: of the video.
        times: of its frames.
        target: the file.
        container: FFmpeg's name of its kind.

    Returns:
        what of the video is not there.

    Raises:
        OutputError: the file cannot be written.
        ImageError: the video cannot be read any more.
    """
    from av.error import FFmpegError

    with opened_video(source) as given:
        main = video_stream(given, source)
        beside: list[Stream] = [
            stream
            for stream in given.streams
            if stream.index != main.index and not _is_chapters(given, stream)
        ]
        lost: list[str] = []
        try:
            try:
                _write(given, main, beside, lost, segments, facts, times, target, container)
            except _RefusedError:
                # Streams of data are refused when the file is begun; what they hold is seldom known.
                kept = [stream for stream in beside if stream.type in ("audio", "subtitle", "video")]
                lost = [_called(stream) for stream in beside if stream not in kept]
                _write(given, main, kept, lost, segments, facts, times, target, container)
        except (FFmpegError, _RefusedError) as error:
            raise OutputError(f"cannot write {target}: {describe(error)}") from error
    return _notes(lost, container, facts, times)


class _RefusedError(Exception):
    """A container does not take the streams that it was given."""


def _write(
    given: InputContainer,
    main: VideoStream,
    beside: Sequence[Stream],
    lost: list[str],
    segments: SegmentFolder,
    facts: VideoFacts,
    times: FrameTimes,
    target: Path,
    container: str,
) -> None:
    import av
    from av.container.core import Flags
    from av.error import FFmpegError

    with (
        av.open(str(segments.path(0)), "r") as first,
        av.open(str(target), "w", format=container, options=_options(given, container)) as made,
    ):
        # Neither the time of writing nor random numbers, so that the same frames make the same file.
        made.flags |= cast("int", Flags.bitexact.value)
        copies: dict[int, Stream] = {}
        restored: VideoStream | None = None
        for stream in given.streams:
            if stream.index == main.index:
                restored = made.add_stream_from_template(first.streams.video[0], opaque=True)
                _describe_restored(restored, main, facts)
            elif stream in beside:
                try:
                    copies[stream.index] = _copy_of(made, stream)
                except ValueError:
                    lost.append(_called(stream))
        assert restored is not None
        made.metadata.update({key: text for key, text in given.metadata.items() if key not in _OF_THE_FILE})
        made.set_chapters(given.chapters())
        try:
            made.start_encoding()
        except (FFmpegError, ValueError) as error:
            raise _RefusedError(describe(error)) from error
        frames = _restored_packets(segments, restored, facts, times)
        following = next(frames, None)
        for packet, copy in _copied_packets(given, copies):
            shown = packet.dts * packet.time_base if packet.dts is not None else 0
            while following is not None and following.pts * facts.time_base <= shown:  # type: ignore[operator]
                made.mux(following)
                following = next(frames, None)
            packet.stream = copy
            made.mux(packet)
        while following is not None:
            made.mux(following)
            following = next(frames, None)


def _called(stream: Stream) -> str:
    return f"{stream.type} {stream.index}"


def _is_chapters(given: InputContainer, stream: Stream) -> bool:
    """Return whether a stream holds the titles of chapters, as MP4 has them, which are written anew."""
    return stream.type == "data" and stream.name == "bin_data" and bool(given.chapters())


def _options(given: InputContainer, container: str) -> dict[str, str]:
    if container not in ("mp4", "mov"):
        return {}
    options = {"avoid_negative_ts": "disabled"}
    if any(key not in _PLAIN_TAGS | _OF_THE_FILE for key in given.metadata):
        # Places and makes of cameras have names of their own.
        options["movflags"] = "use_metadata_tags"
    return options


def _describe_restored(restored: VideoStream, main: VideoStream, facts: VideoFacts) -> None:
    restored.time_base = facts.time_base
    restored.disposition = main.disposition
    if facts.display_matrix is not None:
        restored.set_display_matrix(facts.display_matrix)
    restored.metadata.update(
        {key: text for key, text in main.metadata.items() if not key.lower().startswith(_OF_THE_STREAM)}
    )


def _copy_of(made: OutputContainer, stream: Stream) -> Stream:
    copy: Stream = made.add_stream_from_template(stream, opaque=True)
    copy.disposition = stream.disposition
    copy.metadata.update(stream.metadata)
    return copy


def _restored_packets(
    segments: SegmentFolder, stream: VideoStream, facts: VideoFacts, times: FrameTimes
) -> Iterator[Packet[VideoStream]]:
    count = 0
    for packet in segments.packets():
        if count == len(times.times):
            break
        packet.stream = stream
        packet.time_base = facts.time_base
        packet.pts = packet.dts = times.times[count]
        packet.duration = times.duration(count)
        count += 1
        yield packet
    if count != len(times.times):
        raise OutputError(
            f"{segments.folder} holds {count} of {len(times.times)} frames; remove it, and run again"
        )


def _copied_packets(given: InputContainer, copies: dict[int, Stream]) -> Iterator[tuple[Packet[Any], Stream]]:
    from av.error import FFmpegError

    wanted = [given.streams[index] for index in copies if given.streams[index].type != "attachment"]
    if not wanted:
        return
    packets = given.demux(wanted)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:
            # Of a video that is cut, what comes before is kept.
            return
        if packet is None:
            return
        if packet.size and packet.dts is not None and not packet.is_corrupt:
            yield packet, copies[packet.stream_index]


def _notes(lost: Sequence[str], container: str, facts: VideoFacts, times: FrameTimes) -> tuple[Note, ...]:
    notes = []
    if lost:
        notes.append(Note("streams_lost", f"{container} cannot hold {', '.join(lost)}, dropped"))
    if container in ("matroska", "webm") and any((time * facts.time_base * 1000) % 1 for time in times.times):
        notes.append(Note("times_rounded", f"{container} counts in milliseconds, times of frames rounded"))
    return tuple(notes)
