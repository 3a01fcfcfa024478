"""Seconds and memory for one megapixel: the shipped network as users run it, against a NAFNet of width 32.

Both run in plain torch on the same image in the same process, turn by turn; the smallest time of each counts.
The NAFNet (Chen et al., ECCV 2022, arXiv 2204.04676; blocks [1,1,1,28]/1/[1,1,1,1]) is untrained: only its
time matters. Peak memory is measured in a process of its own for each network.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

import polyrestore
from benchmarks.harness import RESULTS, make_parser, positive, run_reported, write_results
from polyrestore.backbones.layers import ChannelNorm, SimpleGate, use_channels_last

SIDE_PX = 1000


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(width, eps=1e-6), ChannelNorm(width, eps=1e-6)
        self.conv1, self.conv3 = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(width, width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1))
        self.conv4, self.conv5 = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(width, width, 1)
        self.gate = SimpleGate()
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        inner = self.gate(self.conv2(self.conv1(self.norm1(features))))
        features = features + self.conv3(inner * self.attention(inner)) * self.beta
        restored: Tensor = features + self.conv5(self.gate(self.conv4(self.norm2(features)))) * self.gamma
        return restored


class NAFNet(nn.Module):
    def __init__(self, width: int = 32, encoders: tuple[int, ...] = (1, 1, 1, 28), middle: int = 1) -> None:
        super().__init__()
        self.intro, self.ending = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.encoders, self.downs = nn.ModuleList(), nn.ModuleList()
        self.ups, self.decoders = nn.ModuleList(), nn.ModuleList()
        for count in encoders:
            self.encoders.append(nn.Sequential(*(Block(width) for _ in range(count))))
            self.downs.append(nn.Conv2d(width, 2 * width, 2, stride=2))
            width *= 2
        self.middle = nn.Sequential(*(Block(width) for _ in range(middle)))
        for _ in encoders:
            self.ups.append(nn.Sequential(nn.Conv2d(width, 2 * width, 1, bias=False), nn.PixelShuffle(2)))
            width //= 2
            self.decoders.append(Block(width))

    def forward(self, image: Tensor) -> Tensor:
        padded = nn.functional.pad(image, (0, -image.shape[-1] % 16, 0, -image.shape[-2] % 16))
        features, skips = self.intro(padded.contiguous(memory_format=torch.channels_last)), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            features = encoder(features)
            skips.append(features)
            features = down(features)
        features = self.middle(features)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            features = decoder(up(features) + skips.pop())
        restored: Tensor = padded + self.ending(features)
        return restored[..., : image.shape[-2], : image.shape[-1]]


def runner(which: str, bundle: str) -> Callable[[Tensor], object]:
    if which == "nafnet":
        network = NAFNet().eval()
        use_channels_last(network)
        return torch.inference_mode()(lambda image: network(image[None]))
    restorer = polyrestore.load(bundle)
    names = dict.fromkeys(restorer.adapters[:2], 0.5)
    return lambda image: restorer.restore(image, as_=names)


def seconds(run: Callable[[Tensor], object], image: Tensor) -> float:
    start = time.perf_counter()
    run(image)
    return time.perf_counter() - start


def peak_megabytes(which: str, bundle: str) -> float:
    command = [sys.executable, "-m", "benchmarks.speed", "--bundle", bundle, "--peak", which]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=RESULTS.parents[1])
    return float(done.stdout)


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser(__doc__, "speed")
    parser.add_argument("--rounds", type=positive, default=4, help="how often each network runs")
    parser.add_argument("--peak", choices=("polyrestore", "nafnet"), help=argparse.SUPPRESS)
    return run_reported(partial(run, parser.parse_args(arguments)))


def run(options: argparse.Namespace) -> None:
    image = torch.rand((3, SIDE_PX, SIDE_PX), generator=torch.Generator().manual_seed(0))
    if options.peak:
        runner(options.peak, options.bundle)(image)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    # First of all: a child process counts its parent's memory at its birth as its own.
    peaks = {which: round(peak_megabytes(which, options.bundle)) for which in ("polyrestore", "nafnet")}
    runners = {which: runner(which, options.bundle) for which in ("polyrestore", "nafnet")}
    times: dict[str, list[float]] = {which: [] for which in runners}
    for _ in range(options.rounds):
        for which, restore in runners.items():
            times[which].append(seconds(restore, image))
    best = {which: min(values) for which, values in times.items()}
    result = {
        "threads": torch.get_num_threads(),
        "megapixels": SIDE_PX**2 / 1e6,
        "seconds": {which: round(value, 3) for which, value in best.items()},
        "ratio": round(best["polyrestore"] / best["nafnet"], 3),
        "peak_megabytes": peaks,
    }
    print(json.dumps(result, indent=2))
    write_results(options, result)


if __name__ == "__main__":
    sys.exit(main())
