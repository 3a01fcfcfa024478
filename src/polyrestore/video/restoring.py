"""One video restored: looked through, restored in segments that survive a killed run, and put together."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from polyrestore.notes import Note
from polyrestore.restoration.restorer import Restorer
from polyrestore.video.encoders import choose_encoder
from polyrestore.video.joining import join
from polyrestore.video.kinds import container_of, require_installed
from polyrestore.video.reading import Frame, VideoFacts, VideoReader
from polyrestore.video.scenes import restore_shots
from polyrestore.video.segments import SEGMENT_FRAMES, Encoding, SegmentFolder, in_segments
from polyrestore.video.survey import Shot, Survey, look_through

_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
# A container tells its length in milliseconds or so, and sound may be longer than the pictures.
_SECONDS_MISSING = 0.5
_SECONDS_MISSING_OF_FRAMES = 0.1
_SHARE_MISSING = 0.02


@dataclass(frozen=True)
class VideoOptions:
    """How a video is restored.

    Attributes:
        as_: the composition, instead of the recognised ones.
        strength: from 0, the frames as they are, to 1.
        codec: the encoder; None for what suits the file.
        quality: on the encoder's own scale; None for its usual one.
    """

    as_: str | Mapping[str, float] | None = None
    strength: float = 1.0
    codec: str | None = None
    quality: int | None = None


@dataclass(frozen=True)
class RestoredVideo:
    """A restored video, and how it came about.

    Attributes:
        facts: what is kept of it beside the samples.
        shots: from the first frame to the last.
        times_s: when each shot begins, in seconds, and when the last one ends.
        seconds: of restoring, this time; what an earlier run did not counted.
        notes: what a reader should know.
    """

    facts: VideoFacts
    shots: tuple[Shot, ...]
    times_s: tuple[float, ...]
    seconds: float
    notes: tuple[Note, ...]

    def mean_weights(self) -> dict[str, float]:
        """Return the weights of the compositions, the mean over all frames, largest first."""
        frames = self.shots[-1].stop
        sums: dict[str, float] = {}
        for shot in self.shots:
            for name, weight in shot.weights.items():
                sums[name] = sums.get(name, 0.0) + weight * (shot.stop - shot.start)
        ordered = sorted(sums.items(), key=lambda entry: (-entry[1], entry[0]))
        return {name: total / frames for name, total in ordered}


def restore_video(
    restorer: Restorer,
    source: Path,
    target: Path,
    output: PurePath,
    folder: Path,
    options: VideoOptions,
    *,
    settings: Mapping[str, Any],
    on_frame: Callable[[int, int], None] | None = None,
) -> RestoredVideo:
    """Restore a video into a file, or go on where an earlier run was ended.

    Args:
        restorer: does it.
        source: the video.
        target: the file that is written; whole only once this returns.
        output: the name that it will have.
        folder: where what is finished is kept on the way.
        options: how.
        settings: all that decides about the frames beside the options, the input's hash among it, as plain
            JSON values.
        on_frame: called after each frame with how many are finished and how many there are.

    Raises:
        ImageError: the video cannot be read, or is of a kind that is not restored.
        OutputError: the result cannot be written; what is finished is kept.
        MissingExtraError: PyAV is not installed.
        PolyrestoreError: as :meth:`~polyrestore.restoration.restorer.Restorer.restore` does.
    """
    require_installed(source)
    import av

    container = container_of(output)
    reader = VideoReader(source)
    facts = reader.facts()
    pixel_format = facts.samples.pixel_format
    encoder = choose_encoder(options.codec, container, pixel_format, (facts.width, facts.height))
    encoding = Encoding(
        encoder, encoder.options_for(options.quality), encoder.stored_format(pixel_format), facts
    )
    segments = SegmentFolder(
        folder,
        {
            **settings,
            "encoder": encoder.name,
            "encoder_options": dict(encoding.options),
            "frames": SEGMENT_FRAMES,
            "library": av.__version__,
        },
    )
    started = time.perf_counter()
    survey = _survey(segments, reader, facts, restorer, options)
    if _is_untouched(survey, restorer, options) and source.suffix.lower() == output.suffix.lower():
        shutil.copyfile(source, target)
        unchanged = Note("unchanged", "nothing to restore, copied byte for byte")
        return _restored(facts, survey, started, (unchanged, *_remarks(survey)))
    _restore_segments(restorer, reader, facts, survey, segments, encoding, options, on_frame)
    lost = join(source, segments, facts, survey.times, target, container)
    notes = (*lost, *_facts_notes(facts, survey, encoding), *_remarks(survey))
    return _restored(facts, survey, started, notes)


def _survey(
    segments: SegmentFolder,
    reader: VideoReader,
    facts: VideoFacts,
    restorer: Restorer,
    options: VideoOptions,
) -> Survey:
    known = segments.plan()
    if known is not None:
        return Survey.from_plain(known)
    named = None if options.as_ is None else restorer.named(options.as_)
    survey = look_through(reader, facts, None if restorer.is_bare else restorer, named)
    segments.set_plan(survey.to_plain())
    return survey


def _restore_segments(
    restorer: Restorer,
    reader: VideoReader,
    facts: VideoFacts,
    survey: Survey,
    segments: SegmentFolder,
    encoding: Encoding,
    options: VideoOptions,
    on_frame: Callable[[int, int], None] | None,
) -> None:
    total, number = survey.shots[-1].stop, segments.finished()
    first = number * SEGMENT_FRAMES
    if first >= total:
        return

    def counted(frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            yield frame
            if on_frame is not None:
                on_frame(frame.number + 1, total)

    # The tiles of one frame are nothing to be told of.
    on_tile, restorer.on_tile = restorer.on_tile, None
    try:
        restored = restore_shots(
            restorer, facts, survey.shots, reader.frames(facts), first, options.strength, reader.path
        )
        for frames in in_segments(counted(restored)):
            segments.write(number, frames, encoding)
            number += 1
    finally:
        restorer.on_tile = on_tile


def _is_untouched(survey: Survey, restorer: Restorer, options: VideoOptions) -> bool:
    touched = restorer.is_bare or any(shot.weights for shot in survey.shots)
    return not (survey.damage.ended or survey.damage.packets) and (options.strength == 0 or not touched)


def _restored(facts: VideoFacts, survey: Survey, started: float, notes: tuple[Note, ...]) -> RestoredVideo:
    times = survey.times
    origin = times.times[0]
    ends = [*(times.times[shot.start] for shot in survey.shots), _end_of(survey)]
    seconds = tuple(float((end - origin) * facts.time_base) for end in ends)
    return RestoredVideo(facts, survey.shots, seconds, time.perf_counter() - started, notes)


def _end_of(survey: Survey) -> int:
    last = len(survey.times.times) - 1
    return survey.times.times[last] + survey.times.duration(last)


def _facts_notes(facts: VideoFacts, survey: Survey, encoding: Encoding) -> tuple[Note, ...]:
    notes = []
    damage, frames = survey.damage, len(survey.times.times)
    seconds = float((_end_of(survey) - survey.times.times[0]) * facts.time_base)
    if damage.ended is not None or _is_cut(facts, frames, seconds):
        told = f" of {facts.told_seconds:.1f} s" if facts.told_seconds else ""
        notes.append(Note("video_cut", f"the end is missing or damaged, restored up to {seconds:.1f}{told}"))
    if damage.packets or damage.frames:
        count = damage.packets + damage.frames
        notes.append(Note("frames_undecoded", f"{count} frame{'s' * (count != 1)} could not be decoded"))
    if encoding.pixel_format != facts.samples.pixel_format:
        sentence = (
            f"{facts.samples.pixel_format} written as {encoding.pixel_format} by {encoding.encoder.name}"
        )
        notes.append(Note("samples_reduced", sentence))
    if facts.colour_tags[1] in _HDR_TRANSFERS:
        transfer = _HDR_TRANSFERS[facts.colour_tags[1]]
        notes.append(
            Note("hdr", f"HDR ({transfer}), restored as if it were not; what describes it in frames lost")
        )
    return tuple(notes)


def _is_cut(facts: VideoFacts, frames: int, seconds: float) -> bool:
    """Return whether there are fewer frames and less time than the file says, where it says both."""
    if facts.told_seconds is None:
        return False
    share = 1 - _SHARE_MISSING
    missing_s = _SECONDS_MISSING_OF_FRAMES if facts.told_frames else _SECONDS_MISSING
    fewer = not facts.told_frames or frames < facts.told_frames * share
    return fewer and seconds < facts.told_seconds * share - missing_s


def _remarks(survey: Survey) -> tuple[Note, ...]:
    """Return a sentence for each degradation that a shot may show but that is acted on nowhere."""
    acting = {name for shot in survey.shots for name in shot.weights}
    likely: dict[str, float] = {}
    for shot in survey.shots:
        for name, probability in shot.uncertain.items():
            if name not in acting:
                likely[name] = max(probability, likely.get(name, 0.0))
    ranked = sorted(likely.items(), key=lambda entry: (-entry[1], entry[0]))
    return tuple(
        Note("uncertain", f"maybe {name}, {probability:.2f}; --as {name} to apply")
        for name, probability in ranked
    )
