"""What the benchmark of speed runs: each part measures one thing, most of them in a process of their own."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import polyrestore
from benchmarks.engine_nafnet import NAFNet
from benchmarks.harness import RESULTS
from polyrestore.backbones import Backbone
from polyrestore.backbones.layers import use_channels_last
from polyrestore.backbones.registry import build_backbone
from polyrestore.data.images import image_paths
from polyrestore.evaluation.metrics import Protocol, mean_psnr, psnr
from polyrestore.imaging import ImageMetadata, read_image
from polyrestore.runtimes.cache import CACHE_VARIABLE
from polyrestore.runtimes.choosing import LIBRARIES
from polyrestore.runtimes.registry import RUNTIMES

PHOTOGRAPHS = Path(__file__).resolve().parents[1] / "examples" / "photographs"
SIGMA_255 = 25
_SMALL_PX = 96
_MATRIX_SIDE = 1536
_COUNTED_PX = 256

Restore = Callable[[Tensor], object]


def installed_runtimes() -> list[str]:
    """Return the names of the runtimes whose libraries are there."""
    return [
        name
        for name in RUNTIMES
        if all(importlib.util.find_spec(library) is not None for library in LIBRARIES.get(name, ()))
    ]


def square(megapixels: float) -> Tensor:
    """Return a random image (3, S, S) of so many megapixels, S a multiple of 8."""
    side = max(8, round((megapixels * 1e6) ** 0.5 / 8) * 8)
    return torch.rand((3, side, side), generator=torch.Generator().manual_seed(0))


def seconds_of(run: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def in_turn(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Let each run once in every round, and return the smallest time of each in seconds, by name."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(seconds_of(run))
    return {name: min(values) for name, values in times.items()}


def in_process(part: str, **arguments: object) -> Any:
    """Call a function of this module in a fresh process with an empty cache, and return what it returns."""
    command = [sys.executable, "-m", "benchmarks.engine_parts", part, json.dumps(arguments)]
    with tempfile.TemporaryDirectory() as cache:
        surroundings = {**os.environ, CACHE_VARIABLE: cache}
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, cwd=RESULTS.parents[1], env=surroundings
        )
    return json.loads(done.stdout)


def size(bundle: str, runtime: str, megapixels: float, named: str, rounds: int) -> dict[str, float]:
    """Return the smallest seconds of a size, and the peak memory of the process in MB."""
    restorer = polyrestore.load(bundle, "cpu", runtime=runtime)
    side_px = round((megapixels * 1e6) ** 0.5)
    # As files hold it, and as the command line restores it.
    levels = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), np.uint8)
    best = min(
        seconds_of(lambda: restorer.restore(levels, as_=named, dtype=torch.uint8)) for _ in range(rounds)
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(best, 3), "peak_megabytes": round(peak)}


def composition(bundle: str, runtime: str, named: str, rounds: int) -> dict[str, float]:
    """Return the seconds of a first small image, and the milliseconds that a new composition adds to one."""
    restorer = polyrestore.load(bundle, "cpu", runtime=runtime)
    image = square(_SMALL_PX**2 / 1e6)
    first = seconds_of(lambda: restorer.apply([image], {named: 1.0}))
    same, other = [], []
    for number in range(rounds):
        with restorer.composed({named: 1.0}) as run:
            run(image)
            same.append(seconds_of(lambda run=run: run(image)))  # type: ignore[misc]
        weights = {named: 0.5 + 0.4 * number / rounds}
        other.append(seconds_of(lambda weights=weights: restorer.apply([image], weights)))  # type: ignore[misc]
    return {"first_image_s": round(first, 3), "change_ms": round(1e3 * max(0.0, min(other) - min(same)), 1)}


def start_up(bundle: str, named: str, rounds: int) -> dict[str, float]:
    """Return the seconds of fresh processes: ``--help``, and a first photograph restored."""
    command = [sys.executable, "-m", "polyrestore"]
    with tempfile.TemporaryDirectory() as folder:
        photograph = Path(folder) / "small.png"
        source = read_image(image_paths(PHOTOGRAPHS)[0]).pixels[:, :256, :256]
        polyrestore.write_image(photograph, source, ImageMetadata())
        restore = [*command, "restore", str(photograph), "--as", named, "--bundle", bundle, "-o"]

        def call(arguments: list[str]) -> None:
            subprocess.run(arguments, check=True, capture_output=True, cwd=RESULTS.parents[1])

        helps = [seconds_of(lambda: call([*command, "--help"])) for _ in range(rounds)]
        firsts = [
            seconds_of(lambda number=number: call([*restore, f"{folder}/{number}"]))  # type: ignore[misc]
            for number in range(rounds)
        ]
    return {"help_s": round(min(helps), 2), "first_image_s": round(min(firsts), 2)}


def matrix_gflops(rounds: int = 10) -> float:
    """Return the rate of this machine's matrix products with torch's threads, in 10^9 operations a second."""
    matrix = torch.rand(_MATRIX_SIDE, _MATRIX_SIDE)
    return 2e-9 * _MATRIX_SIDE**3 / min(seconds_of(lambda: matrix @ matrix) for _ in range(rounds))


@torch.no_grad()
def network_gflops(network: Backbone) -> float:
    """Return what a network computes for a megapixel, in 10^9 operations, a product and its sum being two."""
    image = torch.rand(1, 3, _COUNTED_PX, _COUNTED_PX)
    context = network.context(image)
    with FlopCounterMode(display=False) as counter:
        network(image, context)
    return float(counter.get_total_flops()) / _COUNTED_PX**2 / 1e3


def contestants(bundle: str, runtimes: Iterable[str], named: str, *, restormer: bool) -> dict[str, Restore]:
    """Return what is timed against each other: this bundle by its runtimes, NAFNet, and Restormer."""
    runs: dict[str, Restore] = {}
    for name in runtimes:
        restorer = polyrestore.load(bundle, "cpu", runtime=name)
        runs[name] = lambda image, restorer=restorer: restorer.restore(image, as_=named)  # type: ignore[misc]
    nafnet = NAFNet().eval()
    use_channels_last(nafnet)
    runs["nafnet"] = torch.inference_mode()(lambda image: nafnet(image[None]))
    if restormer:
        network = build_backbone("restormer").eval()
        use_channels_last(network)
        runs["restormer"] = torch.inference_mode()(lambda image: network(image[None]))
    return runs


def denoisers(
    bundle: str, named: str, folder: Path, limit: int | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Compare with denoisers of other libraries on Gaussian noise.

    Returns:
        By denoiser its mean PSNR in dB (RGB, rounded to 8 bits) and the mean seconds of a photograph; and a
        line for each library that is not installed.
    """
    restorer = polyrestore.load(bundle, "cpu")
    ways: dict[str, Restore] = {
        "none": lambda image: image,
        "polyrestore": lambda image: restorer.restore(image, as_=named).pixels,
    }
    left_out = []
    for library, found in (("cv2", _opencv), ("skimage", _skimage)):
        if importlib.util.find_spec(library) is None:
            left_out.append(f"left out: {library} is not installed")
        else:
            ways |= found()
    rows = []
    pairs = [_noisy(path) for path in image_paths(folder)[:limit]]
    for name, way in ways.items():
        values, seconds = [], []
        for clean, noisy in pairs:
            start = time.perf_counter()
            restored = way(noisy)
            seconds.append(time.perf_counter() - start)
            values.append(psnr(_tensor(restored), clean, Protocol()))
        mean = sum(seconds) / len(seconds)
        rows.append({"denoiser": name, "psnr": round(mean_psnr(values), 2), "seconds": round(mean, 3)})
    return rows, left_out


def _noisy(path: Path) -> tuple[Tensor, Tensor]:
    clean = read_image(path).pixels[:3].float()
    clean = clean.expand(3, -1, -1) if len(clean) == 1 else clean
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)) * SIGMA_255 / 255
    return clean, ((clean + noise).clamp(0, 1) * 255).round() / 255


def _tensor(restored: object) -> Tensor:
    assert isinstance(restored, Tensor)
    return restored.float().clamp(0, 1)


def _opencv() -> dict[str, Restore]:
    cv2 = importlib.import_module("cv2")

    def means(image: Tensor) -> Tensor:
        levels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        # Ten is for weak noise; at sigma 25 about as much as the noise itself is right.
        denoised = cv2.fastNlMeansDenoisingColored(levels, None, SIGMA_255, SIGMA_255)
        return torch.from_numpy(denoised).permute(2, 0, 1) / 255

    return {"OpenCV, fastNlMeansDenoisingColored": means}


def _skimage() -> dict[str, Restore]:
    restoration = importlib.import_module("skimage.restoration")

    def wavelet(image: Tensor) -> Tensor:
        pixels = image.permute(1, 2, 0).numpy()
        denoised = restoration.denoise_wavelet(pixels, channel_axis=2, convert2ycbcr=True, rescale_sigma=True)
        return torch.from_numpy(denoised.copy()).permute(2, 0, 1)

    def variation(image: Tensor) -> Tensor:
        denoised = restoration.denoise_tv_chambolle(
            image.permute(1, 2, 0).numpy(), weight=0.1, channel_axis=2
        )
        return torch.from_numpy(denoised.copy()).permute(2, 0, 1)

    return {"scikit-image, wavelets": wavelet, "scikit-image, total variation": variation}


_IN_PROCESSES: dict[str, Callable[..., dict[str, float]]] = {
    "size": size,
    "composition": composition,
}

if __name__ == "__main__":
    print(json.dumps(_IN_PROCESSES[sys.argv[1]](**json.loads(sys.argv[2]))))
