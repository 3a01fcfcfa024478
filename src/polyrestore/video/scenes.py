"""The frames of a shot, restored with one composition, so that nothing that is computed for each flickers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from polyrestore.errors import ImageError
from polyrestore.restoration.composed import Composed
from polyrestore.restoration.restorer import Restorer
from polyrestore.video.reading import Frame, VideoFacts
from polyrestore.video.survey import Shot, upright, with_change

NEIGHBOURS = 6
"""What a network gathers of a whole frame is the mean over so many frames before it, and as many after it."""

STEADY_FRAMES = 12
"""By how much a frame becomes brighter is the mean over so many frames before it, and as many after it."""

# What differs more has another reason than noise: a flash, or light that was switched on.
_ALIKE = 4 / 255


def restore_shots(
    restorer: Restorer,
    facts: VideoFacts,
    shots: Sequence[Shot],
    frames: Iterator[Frame],
    first: int,
    strength: float,
    path: Path,
) -> Iterator[Frame]:
    """Yield the restored frames of a video from one of them on.

    Args:
        restorer: with the adapters of the shots' compositions.
        facts: of the video.
        shots: all of them.
        frames: all of them, from the very first.
        first: the number of the first frame that is wanted. Those before it are decoded only.
        strength: from 0, the frames as they are, to 1.
        path: what messages call the video.

    Raises:
        ImageError: there are fewer frames than before.
        PolyrestoreError: a frame cannot be restored.
    """
    for shot in shots:
        own = islice(frames, shot.stop - shot.start)
        count = 0
        if strength == 0 or not (shot.weights or restorer.is_bare):
            for frame in own:
                count += 1
                if frame.number >= first:
                    yield frame
        elif shot.stop > first:
            with restorer.composed(shot.weights) as run:
                for frame in _restore_shot(run, facts, shot, own, first, strength):
                    count = frame.number + 1 - shot.start
                    yield frame
        else:
            count = sum(1 for _ in own)
        if count != shot.stop - shot.start:
            raise ImageError(f"{path} changed while it was being restored")


def _restore_shot(
    run: Composed, facts: VideoFacts, shot: Shot, frames: Iterator[Frame], first: int, strength: float
) -> Iterator[Frame]:
    # Frames before the first one that is wanted are restored too, for the means to be those of a whole run.
    changes = _changes(run, facts, shot, frames, first - STEADY_FRAMES, strength)
    for frame, change in _steady(changes, first):
        yield with_change(facts, frame, change)


def _changes(
    run: Composed, facts: VideoFacts, shot: Shot, frames: Iterator[Frame], first: int, strength: float
) -> Iterator[tuple[Frame, Tensor]]:
    """Yield each frame from one on, and what restoring adds to it: (3, H, W), as it is shown."""
    acting = tuple(shot.weights)
    contexts: deque[Tensor | None] = deque()
    waiting: deque[Frame] = deque()
    seen_from = max(shot.start, first - NEIGHBOURS)

    def restore_next() -> tuple[Frame, Tensor]:
        frame = waiting.popleft()
        # What is there reaches from as far before the frame as counts to as far after it.
        while len(contexts) > len(waiting) + 1 + NEIGHBOURS:
            contexts.popleft()
        before = upright(facts, frame)
        after = run.restore_frame(before, shot.look, acting, _mean(contexts), strength)
        return frame, after - before

    for frame in frames:
        if frame.number < seen_from:
            continue
        contexts.append(run.context(upright(facts, frame), shot.look, acting))
        if frame.number >= first:
            waiting.append(frame)
        if len(waiting) > NEIGHBOURS:
            yield restore_next()
    while waiting:
        yield restore_next()


def _steady(changes: Iterator[tuple[Frame, Tensor]], first: int) -> Iterator[tuple[Frame, Tensor]]:
    """Yield changes from one frame on with means that do not jump from frame to frame.

    Of a dark frame a network may make one that is a level or two brighter or darker than the next, for no
    other reason than noise.
    """
    levels: deque[Tensor] = deque()
    waiting: deque[tuple[Frame, Tensor, Tensor]] = deque()

    def next_one() -> tuple[Frame, Tensor]:
        frame, change, level = waiting.popleft()
        while len(levels) > len(waiting) + 1 + STEADY_FRAMES:
            levels.popleft()
        alike = [other for other in levels if float((other - level).abs().max()) < _ALIKE]
        return frame, change + (torch.stack(alike).mean(0) - level)[:, None, None]

    for frame, change in changes:
        level = change.mean((1, 2))
        levels.append(level)
        if frame.number >= first:
            waiting.append((frame, change, level))
        if len(waiting) > STEADY_FRAMES:
            yield next_one()
    while waiting:
        yield next_one()


def _mean(contexts: Sequence[Tensor | None]) -> Tensor | None:
    known = [context for context in contexts if context is not None]
    return torch.stack(known).mean(0) if known else None
