"""Small videos, made by PyAV: real files with sound, turned or not, of even or uneven times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

SIZE_PX = (64, 48)
RATE = 25


def scene(seed: int = 0, size_px: tuple[int, int] = SIZE_PX, level: float = 128) -> NDArray[np.uint8]:
    """Return a picture of soft blotches, (H, W, 3)."""
    width, height = size_px
    coarse = np.random.default_rng(seed).normal(level, 40, (height // 8 + 2, width // 8 + 2, 3))
    fine = np.kron(coarse, np.ones((8, 8, 1)))[:height, :width]
    return cast("NDArray[np.uint8]", np.clip(fine, 0, 255).astype(np.uint8))


def noisy(
    picture: NDArray[np.uint8], count: int, sigma: float = 12, seed: int = 1
) -> list[NDArray[np.uint8]]:
    """Return frames of one picture, each with noise of its own."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(0, sigma, (count, *picture.shape))
    return [np.clip(picture + each, 0, 255).astype(np.uint8) for each in noise]


def make_clip(
    path: Path,
    frames: Sequence[NDArray[np.uint8]] | int = 12,
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    times: Sequence[int] | None = None,
    sound: bool = True,
    rotation: int = 0,
    settings: Mapping[str, Any] | None = None,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
) -> Path:
    """Write a video.

    Args:
        path: its ending names the container.
        frames: pictures (H, W, 3), or how many noisy ones.
        codec: of the frames.
        pixel_format: of the frames.
        times: when each frame is shown, in thousandths of a second; even ones by default.
        sound: whether there is a stream of it.
        rotation: in degrees, against the clock.
        settings: what the stream of frames is given as attributes of its codec context.
        options: of the encoder.
        container_options: of the container.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = noisy(scene(), frames) if isinstance(frames, int) else frames
    times = times or [number * 1000 // RATE for number in range(len(pictures))]
    with av.open(str(path), "w", options=dict(container_options or {})) as container:
        container.metadata["title"] = "a clip"
        stream: Any = container.add_stream(codec, rate=RATE, options={"g": "6", **(options or {})})
        height, width = pictures[0].shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        # MPEG-2 has no other times than those of its rate.
        step = Fraction(1, RATE) if codec == "mpeg2video" else Fraction(1, 1000)
        stream.codec_context.time_base = step
        for name, value in (settings or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(rotation)
        voice: Any = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        for number, (picture, time) in enumerate(zip(pictures, times, strict=True)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts = number if codec == "mpeg2video" else time
            frame.time_base = step
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None:
            _add_sound(container, voice, times[-1] + 1000 // RATE)
        container.set_chapters(
            [
                {
                    "id": 1,
                    "start": 0,
                    "end": 200,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": "first"},
                }
            ]
        )
    return path


def _add_sound(container: Any, voice: Any, milliseconds: int) -> None:
    import av

    samples = np.sin(np.arange(8 * milliseconds) / 3).astype(np.float32)[None]
    frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
    frame.sample_rate, frame.pts = 8000, 0
    container.mux(voice.encode(frame))
    container.mux(voice.encode(None))


def decoded(path: Path) -> tuple[list[int], list[NDArray[np.uint8]], Any]:
    """Return the times of a video's frames in milliseconds, the frames (H, W, 3), and the last PyAV frame."""
    import av

    times: list[int] = []
    pictures: list[NDArray[np.uint8]] = []
    frame: Any = None
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            times.append(round(float(frame.time) * 1000))
            pictures.append(frame.to_ndarray(format="rgb24"))
    return times, pictures, frame


def packets(path: Path, kind: str) -> list[tuple[int | None, int | None, bytes]]:
    """Return time, duration and bytes of the packets of all streams of a kind."""
    import av

    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        return [
            (packet.pts, packet.duration, bytes(packet))
            for packet in (container.demux(streams) if streams else ())
            if packet.size
        ]
