"""A video looked through before anything is restored: its shots, and one composition for each of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from polyrestore.errors import ImageError
from polyrestore.recognition import Recognition, RecognitionSettings
from polyrestore.recognition.similarity import weigh_similarities
from polyrestore.restoration.colour import is_grey
from polyrestore.restoration.composed import SceneLook
from polyrestore.restoration.range import brightest_of
from polyrestore.video.colour import PIXEL_FORMATS
from polyrestore.video.joining import FrameTimes
from polyrestore.video.reading import Damage, Frame, VideoFacts, VideoReader
from polyrestore.video.shots import FLASH_FRAMES, CutFinder, thumbnail_of

FRAMES_RECOGNISED = 5
"""On so many frames of a shot, spread over it, is recognised what is wrong with it."""


class Recogniser(Protocol):
    """What recognises: a :class:`~polyrestore.restoration.restorer.Restorer`."""

    @property
    def recognition_settings(self) -> RecognitionSettings:
        """How similarities become weights."""

    def recognise(self, image: Tensor, settings: RecognitionSettings | None = None) -> Recognition:
        """Say what is wrong with an image (3, H, W) in [0, 1]."""

    def confirmed(self, recognition: Recognition, image: Tensor) -> Recognition:
        """Leave out the adapters that find too little to do in an image."""


@dataclass(frozen=True)
class Shot:
    """Frames between two cuts, which are restored alike.

    Attributes:
        start: number of the first frame.
        stop: number of the frame after the last one.
        weights: the composition.
        similarities: what the recogniser saw, the median over frames; empty where nothing was recognised.
        uncertain: the probabilities of what may be there but is not acted on.
        look: what else its frames share.
    """

    start: int
    stop: int
    weights: dict[str, float]
    similarities: dict[str, float]
    uncertain: dict[str, float]
    look: SceneLook


@dataclass(frozen=True)
class Survey:
    """What is known of a video once it was looked through.

    Attributes:
        shots: from the first frame to the last.
        times: of the frames.
        damage: what could not be decoded.
    """

    shots: tuple[Shot, ...]
    times: FrameTimes
    damage: Damage = field(default_factory=Damage)

    def to_plain(self) -> dict[str, Any]:
        """Return the same as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Survey:
        """Return what :meth:`to_plain` was called on."""
        shots = tuple(Shot(**{**shot, "look": SceneLook(**shot["look"])}) for shot in plain["shots"])
        return cls(shots, FrameTimes(**plain["times"]), Damage(**plain["damage"]))


def look_through(
    reader: VideoReader, facts: VideoFacts, recogniser: Recogniser | None, named: Mapping[str, float] | None
) -> Survey:
    """Decode a video once, find its shots, and recognise what is wrong with each.

    Args:
        reader: of the video.
        facts: of the video.
        recogniser: what recognises; None where nothing is.
        named: the composition that was named; None where it is to be recognised.

    Raises:
        ImageError: there is no frame, or some of them cannot be restored.
    """
    finder, collector = CutFinder(), _Collector(facts, recogniser, named)
    times: list[int] = []
    durations: list[int] = []
    # Frames whose shot is not settled yet.
    waiting: deque[Frame] = deque()
    starts: set[int] = set()
    bits = PIXEL_FORMATS[facts.samples.pixel_format].bits
    for frame in reader.frames(facts):
        times.append(frame.time)
        durations.append(frame.duration)
        waiting.append(frame)
        starts.update(finder.take(thumbnail_of(frame.planes, bits)))
        if len(waiting) > FLASH_FRAMES:
            collector.take(waiting.popleft(), starts)
    starts.update(finder.finish())
    while waiting:
        collector.take(waiting.popleft(), starts)
    if not times:
        raise ImageError(f"{reader.path}: holds no frame that can be decoded")
    return Survey(collector.finish(), FrameTimes(times, durations), reader.damage)


class _Collector:
    """Keeps a few frames of the shot at hand, spread over it, however long it gets."""

    def __init__(
        self, facts: VideoFacts, recogniser: Recogniser | None, named: Mapping[str, float] | None
    ) -> None:
        self._facts = facts
        self._recogniser = recogniser
        self._named = named
        self._shots: list[Shot] = []
        self._begin(0)

    def _begin(self, number: int) -> None:
        self._start, self._stop = number, number
        self._stride = 1
        self._kept: list[Frame] = []
        self._brightest = 0.0

    def take(self, frame: Frame, starts: set[int]) -> None:
        """Take the next frame; ``starts`` has its number if it begins a shot."""
        if frame.number in starts:
            starts.discard(frame.number)
            self._end()
            self._begin(frame.number)
        self._stop = frame.number + 1
        brightest = self._facts.samples.value_of(float(frame.planes[0].max()))
        self._brightest = max(self._brightest, min(1.0, brightest))
        if (frame.number - self._start) % self._stride == 0:
            self._kept.append(frame)
            if len(self._kept) > 2 * FRAMES_RECOGNISED:
                self._kept = self._kept[::2]
                self._stride *= 2

    def finish(self) -> tuple[Shot, ...]:
        """Return the shots, once all frames were taken."""
        self._end()
        return tuple(self._shots)

    def _end(self) -> None:
        places = np.linspace(0, len(self._kept) - 1, min(FRAMES_RECOGNISED, len(self._kept)))
        frames = [upright(self._facts, self._kept[round(place)]) for place in places.tolist()]
        if not frames:
            return
        brightest = max(self._brightest, *(brightest_of(frame) for frame in frames))
        look = SceneLook(all(is_grey(frame) for frame in frames), brightest)
        weights, similarities, uncertain = dict(self._named or {}), {}, {}
        if self._named is None and self._recogniser is not None:
            seen = recognise_alike(self._recogniser, frames)
            weights, similarities, uncertain = seen.weights, seen.similarities, seen.uncertain
        self._shots.append(Shot(self._start, self._stop, weights, similarities, uncertain, look))


def recognise_alike(recogniser: Recogniser, frames: Sequence[Tensor]) -> Recognition:
    """Return one recognition for several frames of a shot: of the median of what is seen in each.

    Args:
        recogniser: what recognises.
        frames: (3, H, W) in [0, 1] each; at least one.
    """
    # No adapter is tried on every frame, but once on what they have in common.
    untried = replace(recogniser.recognition_settings, least_changes={})
    seen = [recogniser.recognise(frame, untried).similarities for frame in frames]
    median = {name: float(np.median([each[name] for each in seen])) for name in seen[0]}
    seen_together = weigh_similarities(median, recogniser.recognition_settings)
    return recogniser.confirmed(seen_together, frames[len(frames) // 2])


def upright(facts: VideoFacts, frame: Frame) -> Tensor:
    """Return a frame as it is shown: (3, H, W) float32 in [0, 1]."""
    planes = [torch.from_numpy(plane) for plane in frame.planes]
    return torch.rot90(facts.samples.to_rgb(planes), facts.turns, (1, 2))


def with_change(facts: VideoFacts, frame: Frame, change: Tensor) -> Frame:
    """Return a frame after what was done to it.

    Args:
        facts: of its video.
        frame: before.
        change: (3, H, W), what is added to :func:`upright` of it.
    """
    planes = [torch.from_numpy(plane) for plane in frame.planes]
    turned = torch.rot90(change, -facts.turns, (1, 2))
    changed = [plane.numpy() for plane in facts.samples.add_change(planes, turned)]
    return Frame(frame.number, list(changed), frame.time, frame.duration)
