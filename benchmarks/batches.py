"""Images per second over a folder, of one process with one thread and with two, and of two workers.

The folder holds crops of photographs of a quarter of a megapixel, in turn noisy, dark, coarsely compressed
and as they are. Every run is the command in a process of its own, turn by turn; of each the fastest counts.
The rate is taken from the first line of the report to the last one, the time is that of the whole command.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.faults import COMMAND, require, results_told
from benchmarks.harness import describe_versions, make_parser, positive, run_reported, write_results
from polyrestore.files import sha256_of
from polyrestore.imaging import ImageMetadata, read_image, write_image

WIDTH_PX, HEIGHT_PX = 576, 432
PHOTOGRAPHS = Path(__file__).parents[1] / "examples" / "photographs"
MODES: dict[str, tuple[int, tuple[str, ...]]] = {
    "1 process, 1 thread": (1, ()),
    "1 process, 2 threads": (2, ()),
    "2 workers, 1 thread each": (2, ("--workers", "2")),
}


@dataclass(frozen=True)
class Timing:
    """What one run took.

    Attributes:
        images_per_second: from the first result to the last one.
        command_seconds: the whole command, its start included.
        cpu_seconds: of all its processes.
    """

    images_per_second: float
    command_seconds: float
    cpu_seconds: float


def make_photographs(folder: Path, files: int) -> None:
    """Fill a folder with damaged crops of the example photographs."""
    generator = torch.Generator().manual_seed(0)
    sources = [_mirrored(read_image(path).pixels) for path in sorted(PHOTOGRAPHS.glob("*.png"))]
    for number in range(files):
        pixels = sources[number % len(sources)]
        top = int(torch.randint(pixels.shape[1] - HEIGHT_PX + 1, (), generator=generator))
        left = int(torch.randint(pixels.shape[2] - WIDTH_PX + 1, (), generator=generator))
        crop = pixels[:, top : top + HEIGHT_PX, left : left + WIDTH_PX]
        kind = number // len(sources) % 4
        if kind == 0:
            crop = crop + torch.randn(crop.shape, generator=generator) * 25 / 255
        elif kind == 1:
            crop = crop * 0.2 + torch.randn(crop.shape, generator=generator) * 2 / 255
        suffix = ".jpg" if kind == 2 else ".png"
        write_image(folder / f"{number:03}{suffix}", crop.clamp(0, 1), ImageMetadata())


def _mirrored(pixels: torch.Tensor) -> torch.Tensor:
    """Return a picture four times as large, the example photographs being small ones."""
    wide = torch.cat([pixels, pixels.flip(2)], dim=2)
    return torch.cat([wide, wide.flip(1)], dim=1)


def run_mode(mode: str, folder: Path, output: Path, bundle: str) -> Timing:
    """Restore a folder once, in a process that has the threads of the mode."""
    threads, options = MODES[mode]
    command = [sys.executable, "-c", COMMAND, "restore", str(folder), "-o", str(output), "--bundle", bundle]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    process = subprocess.Popen([*command, *options], env=environment, stdout=subprocess.DEVNULL)
    seen: list[tuple[float, int]] = []
    while process.poll() is None:
        lines = results_told(output)
        if lines and (not seen or lines > seen[-1][1]):
            seen.append((time.monotonic(), lines))
        time.sleep(0.005)
    seconds = time.monotonic() - started
    require(process.returncode == 0, f"exit code {process.returncode}")
    (first, before), (last, after) = seen[0], seen[-1]
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return Timing((after - before) / (last - first), seconds, cpu_seconds)


def measure(options: argparse.Namespace, folder: Path) -> tuple[dict[str, object], str]:
    """Time all modes, and return the figures as JSON values and as a table."""
    make_photographs(folder / "in", options.files)
    timings: dict[str, list[Timing]] = {mode: [] for mode in MODES}
    results = set()
    for turn in range(options.repeats):
        for mode in MODES:
            output = folder / f"{mode} {turn}"
            timings[mode].append(run_mode(mode, folder / "in", output, options.bundle))
            print(mode, timings[mode][-1], flush=True)
            results.add(tuple(sha256_of(path) for path in sorted(output.glob("[0-9]*.*"))))
    require(len(results) == 1, "the results differ")
    rates = {mode: max(each.images_per_second for each in found) for mode, found in timings.items()}
    alone = rates["1 process, 1 thread"]
    rows = [
        f"| {mode} | {rates[mode]:.2f} | {rates[mode] / alone:.2f} | "
        f"{min(each.command_seconds for each in found):.1f} | {min(each.cpu_seconds for each in found):.1f} |"
        for mode, found in timings.items()
    ]
    heading = "| | images per second | relative | seconds of the command | seconds of processor time |"
    table = "\n".join([heading, "|---|---|---|---|---|", *rows]) + "\n"
    size = f"{options.files} images of {WIDTH_PX} x {HEIGHT_PX} px"
    content = {"versions": describe_versions(), "images": size, "bundle": options.bundle}
    modes = {mode: [asdict(each) for each in found] for mode, found in timings.items()}
    return {**content, "modes": modes}, f"{size}; {describe_versions()}\n\n{table}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the folder, time every mode, and write the figures."""
    parser = make_parser(__doc__, "batches")
    parser.add_argument("--files", type=positive, default=40)
    parser.add_argument("--repeats", type=positive, default=2)
    options = parser.parse_args(arguments)

    def run() -> None:
        folder = Path(tempfile.mkdtemp(prefix="polyrestore-batches-"))
        try:
            write_results(options, *measure(options, folder))
        finally:
            shutil.rmtree(folder)

    return run_reported(run)


if __name__ == "__main__":
    sys.exit(main())
