"""What is kept of a video of 300 frames at 720p, and how steady static scenes of several kinds stay.

Times, sound and rotation do not depend on what a network makes of the frames: for these the strength is 0,
and all frames are decoded, encoded and joined without one. The steadiness is that of a bundle with its
weights, on small videos; beside it is measured what restoring each frame by itself makes of the same frames.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

import polyrestore
from benchmarks.harness import (
    describe_bundle,
    describe_machine,
    describe_versions,
    make_parser,
    positive,
    run_reported,
    write_results,
)
from polyrestore.cli.main import run
from polyrestore.degradations import degrade
from polyrestore.errors import OutputError
from polyrestore.imaging import ImageMetadata, encode_image, read_image

PHOTOGRAPHS = Path(__file__).resolve().parents[1] / "examples" / "photographs"
RATE = 25
SCENES: dict[str, tuple[dict[str, float], float]] = {
    "dark and noisy": ({"low_light": 0.6}, 5),
    "noisy": ({}, 20),
    "hazy": ({"haze": 0.6}, 3),
}
"""What is done to the scene, and the standard deviation of the noise that each frame has, in levels."""


@dataclass(frozen=True)
class Steadiness:
    """How far the mean level of a static scene moves, in levels of 8 bits, from its lowest to its highest."""

    scene: str
    composition: str
    given: float
    each_by_itself: float
    as_video: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark with the given arguments, those of the process by default."""
    parser = make_parser(__doc__, "video")
    parser.add_argument("--frames", type=positive, default=300, help="of the large video")
    parser.add_argument("--height", type=positive, default=720, help="of the large video, in pixels")
    parser.add_argument("--static-frames", type=positive, default=25, help="of each static scene")
    parser.add_argument("--frame", type=Path, help="folder for the frames of the scenes as PNG")
    options = parser.parse_args(arguments)
    return run_reported(lambda: measure(options))


def measure(options: argparse.Namespace) -> None:
    """Make the videos, restore them, compare, and write the figures."""
    restorer = polyrestore.load(options.bundle)
    with tempfile.TemporaryDirectory() as place:
        steady = [
            measure_steadiness(
                Path(place),
                options.bundle,
                restorer,
                name,
                options.static_frames,
                options.frame,
            )
            for name in SCENES
        ]
        kept = measure_kept(Path(place), options.frames, options.height)
    values = {
        "about": {
            **describe_bundle(restorer),
            "with": f"{describe_versions()}, PyAV {_library()}, {describe_machine()}",
        },
        "kept": kept,
        "steadiness": [vars(each) for each in steady],
    }
    write_results(options, values, as_markdown(kept, steady))


def measure_kept(place: Path, frames: int, height: int) -> dict[str, Any]:
    """Restore a video with sound that lies on its side, with uneven times, and say what is as it was."""
    size = (height * 16 // 9 // 2 * 2, height)
    source, output = place / "large.mp4", place / "restored.mov"
    scene = _photograph("coffee.png", size)
    generator = np.random.default_rng(0)
    # Every fifth frame is shown for twice as long.
    times = np.cumsum([0, *(1000 // RATE * (1 + (number % 5 == 4)) for number in range(frames - 1))]).tolist()
    _write(
        source,
        (_pan(scene, number, generator) for number in range(frames)),
        times,
        sound=True,
    )
    started = time.monotonic()
    _restore(source, output, "--strength", 0)
    seconds = time.monotonic() - started
    before, after = _facts(source), _facts(output)
    return {
        "frames": frames,
        "width": size[0],
        "height": size[1],
        "seconds": round(seconds, 1),
        **{f"same_{name}": before[name] == after[name] for name in before},
        "frames_found": len(after["times"]),
        "sound_packets": len(after["sound"]),
        "rotation": after["rotation"],
        "same_by_ffprobe": _same_by_ffprobe(source, output),
    }


def measure_steadiness(
    place: Path,
    bundle: str,
    restorer: polyrestore.Restorer,
    name: str,
    frames: int,
    shown: Path | None,
) -> Steadiness:
    """Restore a static scene as a video, and each of its frames by itself."""
    lasting, sigma_255 = SCENES[name]
    generator = torch.Generator().manual_seed(0)
    scene = torch.from_numpy(_photograph("chelsea.png", (288, 192))).permute(2, 0, 1)[None] / 255
    scene = degrade(scene, lasting, generator) if lasting else scene
    noise = torch.randn(frames, *scene.shape[1:], generator=generator) * sigma_255 / 255
    pictures = [_levels(scene[0] + each) for each in noise]
    source, output = place / "scene.mkv", place / f"{name.replace(' ', '-')}.mkv"
    _write(
        source,
        pictures,
        [number * 1000 // RATE for number in range(frames)],
        codec="ffv1",
    )
    _restore(source, output, "--bundle", bundle, "--video-codec", "ffv1", "--overwrite")
    given, made = _pictures(source), _pictures(output)
    alone = [restorer.restore(picture) for picture in given]
    weights = _weights(output)
    if shown is not None:
        shown.mkdir(parents=True, exist_ok=True)
        for kind, picture in (
            ("given", given[0]),
            ("first", made[0]),
            ("last", made[-1]),
        ):
            pixels = torch.from_numpy(picture).permute(2, 0, 1).float() / 255
            content, _ = encode_image(Path("frame.png"), pixels, ImageMetadata())
            (shown / f"{output.stem}-{kind}.png").write_bytes(content)
    return Steadiness(
        name,
        weights,
        _spread([float(picture.mean()) for picture in given]),
        _spread([float(each.pixels.mean() * 255) for each in alone]),
        _spread([float(picture.mean()) for picture in made]),
    )


def as_markdown(kept: dict[str, Any], steady: Sequence[Steadiness]) -> str:
    """Return the figures as a page."""
    words = {True: "yes", False: "no", None: "not asked, ffprobe is not installed"}
    lines = [
        "# Videos",
        "",
        f"A video of {kept['frames']} frames at {kept['width']}x{kept['height']}, with sound, uneven times "
        f"and a rotation of {kept['rotation']} degrees, with strength 0, written as MOV in "
        f"{kept['seconds']} s: {kept['frames_found']} frames and {kept['sound_packets']} packets of sound "
        "came back.",
        "",
        "| as it was | |",
        "|---|---|",
    ]
    lines += [
        f"| {name.removeprefix('same_').replace('_', ' ')} | {words[value]} |"
        for name, value in kept.items()
        if name.startswith("same_")
    ]
    lines += [
        "",
        "How far the mean level of a static scene moves over the video, in levels of 8 bits, from the "
        "lowest to the highest frame:",
        "",
        "| scene | composition | given | each frame by itself | as a video |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.scene} | {each.composition} | {each.given:.2f} | {each.each_by_itself:.2f} "
        f"| {each.as_video:.2f} |"
        for each in steady
    ]
    return "\n".join(lines) + "\n"


def _restore(source: Path, output: Path, *options: object) -> None:
    if run(["restore", str(source), "-o", str(output), *map(str, options)]):
        raise OutputError(f"{source} was not restored")


def _library() -> str:
    import av

    return av.__version__


def _weights(output: Path) -> str:
    import json

    from polyrestore.cli.common import weights_text

    for line in (output.parent / "report.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["output"] == output.name:
            return weights_text(record["weights"])
    raise OutputError(f"{output} is not in the report")


def _photograph(name: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    pixels = read_image(PHOTOGRAPHS / name).pixels[None]
    made = torch.nn.functional.interpolate(pixels, (size[1], size[0]), mode="bilinear", antialias=True)
    return _levels(made[0])


def _levels(pixels: torch.Tensor) -> NDArray[np.uint8]:
    levels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    return cast("NDArray[np.uint8]", levels.permute(1, 2, 0).contiguous().numpy())


def _pan(scene: NDArray[np.uint8], number: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    moved = np.roll(scene, 2 * number, 1).astype(np.int16)
    noisy = np.clip(moved + generator.integers(-12, 13, scene.shape, np.int16), 0, 255)
    return cast("NDArray[np.uint8]", noisy.astype(np.uint8))


def _write(
    path: Path,
    pictures: Any,
    times: Sequence[int],
    *,
    codec: str = "libx264",
    sound: bool = False,
) -> None:
    """Write a video; one with sound lies on its side."""
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE, options={"preset": "veryfast"} if sound else {})
        stream.pix_fmt = "yuv420p" if sound else "yuv444p"
        stream.codec_context.time_base = Fraction(1, 1000)
        voice: Any = container.add_stream("aac", rate=44100, layout="stereo") if sound else None
        if sound:
            stream.set_display_rotation(90)
        for time_ms, picture in zip(times, pictures, strict=True):
            if time_ms == times[0]:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None:
            waves = np.sin(np.arange(44100 * times[-1] // 1000)[None] / np.array([[16], [17]]))
            tone = av.AudioFrame.from_ndarray(waves.astype(np.float32), "fltp", "stereo")
            tone.sample_rate, tone.pts = 44100, 0
            container.mux(voice.encode(tone))
            container.mux(voice.encode(None))


def _facts(path: Path) -> dict[str, Any]:
    """Return what shall be as it was: duration, times, sound and rotation."""
    import av

    times, rotation = [], 0
    with av.open(str(path)) as container:
        duration = container.duration
        for frame in container.decode(video=0):
            times.append(frame.pts)
            rotation = frame.rotation
    with av.open(str(path)) as container:
        sound = [
            (packet.pts, packet.duration, bytes(packet)) for packet in container.demux(audio=0) if packet.size
        ]
    return {"duration": duration, "times": times, "sound": sound, "rotation": rotation}


def _pictures(path: Path) -> list[NDArray[np.uint8]]:
    import av

    with av.open(str(path)) as container:
        return [
            cast("NDArray[np.uint8]", frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)
        ]


def _same_by_ffprobe(source: Path, output: Path) -> bool | None:
    """Ask ffprobe for times, durations, rotation and hashes of sound; None where it is not installed."""
    program = shutil.which("ffprobe")
    if program is None:
        return None
    asked = (
        (
            "-show_entries",
            "format=duration:stream=index,duration,width,height,time_base:stream_side_data=rotation",
        ),
        ("-select_streams", "v", "-show_entries", "frame=pts"),
        (
            "-select_streams",
            "a",
            "-show_data_hash",
            "sha256",
            "-show_entries",
            "packet=pts,dts,duration,data_hash",
        ),
    )
    said: list[list[str]] = []
    for path in (source, output):
        lines: list[str] = []
        for each in asked:
            command = [program, "-v", "error", *each, str(path)]
            lines += subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        # Encoders leave a note about themselves in the first frame of each segment.
        said.append([line for line in lines if "SIDE_DATA]" not in line and "Unregistered SEI" not in line])
    return said[0] == said[1]


def _spread(levels: Sequence[float]) -> float:
    return round(max(levels) - min(levels), 3)


if __name__ == "__main__":
    raise SystemExit(main())
