"""Compare sizes of the compact backbone: quality after the same training time against seconds per megapixel.

Every candidate is trained on the same task (blind Gaussian noise, clipped and rounded as in a file) for the
same processor time of one thread, and measured on the validation images at sigma 15, 25 and 50. One candidate
is trained with AdamW instead of Muon.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import make_parser, run_reported, write_results
from polyrestore.backbones.compact import Compact
from polyrestore.backbones.layers import use_channels_last
from polyrestore.data import load_clean
from polyrestore.training.loop.optimisers import build_optimiser
from polyrestore.training.recipes.recipe import OptimiserTable

CANDIDATES: dict[str, tuple[str, dict[str, Any]]] = {
    "width 16, [1,1,1,4]/1/[1,1,1,1]": ("muon", {
        "width": 16, "encoder_blocks": (1, 1, 1, 4), "middle_blocks": 1, "decoder_blocks": (1, 1, 1, 1),
    }),
    "width 32, shuffle 2, [2,2]/6/[2,2]": ("muon", {
        "width": 32, "encoder_blocks": (2, 2), "middle_blocks": 6, "decoder_blocks": (2, 2), "shuffle": 2,
    }),
    "width 48, shuffle 2, [1,2]/4/[2,1]": ("muon", {
        "width": 48, "encoder_blocks": (1, 2), "middle_blocks": 4, "decoder_blocks": (2, 1), "shuffle": 2,
    }),
    "width 48, shuffle 2, [1,2]/4/[2,1], AdamW": ("adamw", {
        "width": 48, "encoder_blocks": (1, 2), "middle_blocks": 4, "decoder_blocks": (2, 1), "shuffle": 2,
    }),
    "width 64, shuffle 2, [1,2]/4/[2,1]": ("muon", {
        "width": 64, "encoder_blocks": (1, 2), "middle_blocks": 4, "decoder_blocks": (2, 1), "shuffle": 2,
    }),
}  # fmt: skip


def noisy(clean: torch.Tensor, sigma_255: torch.Tensor | float, generator: torch.Generator) -> torch.Tensor:
    noise = torch.randn(clean.shape, generator=generator) * sigma_255 / 255
    return ((clean + noise).clamp(0, 1) * 255).round() / 255


def train(
    model: Compact,
    images: list[torch.Tensor],
    optimiser: torch.optim.Optimizer,
    seconds: float,
) -> int:
    generator = torch.Generator().manual_seed(0)
    start, steps = time.process_time(), 0
    while (spent := time.process_time() - start) < seconds:
        patches = []
        for index in torch.randint(len(images), (8,), generator=generator).tolist():
            height, width = images[index].shape[1:]
            top = int(torch.randint(height - 127, (1,), generator=generator))
            left = int(torch.randint(width - 127, (1,), generator=generator))
            patches.append(images[index][:, top : top + 128, left : left + 128])
        clean = torch.stack(patches) / 255
        sigma = torch.rand((8, 1, 1, 1), generator=generator) * 55
        for group in optimiser.param_groups:
            schedule = min(1.0, 20 * spent / seconds) * max(0.02, 1 - spent / seconds)
            group["lr"] = 1e-3 * schedule * group.get("rate_ratio", 1.0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = (model(noisy(clean, sigma, generator)) - clean).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimiser.step()
        steps += 1
    return steps


@torch.inference_mode()
def measure(model: Compact, images: list[torch.Tensor], sigma: float) -> float:
    generator = torch.Generator().manual_seed(0)
    values = []
    for image in images:
        clean = image[None] / 255
        restored = (model(noisy(clean, sigma, generator)).clamp(0, 1) * 255).round() / 255
        values.append(-10 * torch.log10((restored - clean).square().mean()).item())
    return sum(values) / len(values)


@torch.inference_mode()
def seconds_per_megapixel(model: Compact) -> float:
    image = torch.rand(1, 3, 1024, 1024)
    times = []
    for _ in range(4):
        start = time.process_time()
        model(image)
        times.append(time.process_time() - start)
    return min(times[1:]) / 1.048576


def as_markdown(rows: list[dict[str, object]], seconds: float) -> str:
    columns = [key for key in rows[0] if key not in ("backbone", "training_seconds")]
    lines = [
        "# Backbones",
        "",
        f"Blind Gaussian noise, {seconds:.0f} processor seconds of training on one thread, batches of 8",
        "patches of 128 px. PSNR in dB, RGB, rounded to 8 bits; seconds per megapixel on one thread.",
        "",
        "| backbone | " + " | ".join(column.replace("_", " ") for column in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    lines += [
        f"| {row['backbone']} | " + " | ".join(str(row[column]) for column in columns) + " |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser(__doc__, "backbones", bundle=False)
    parser.add_argument("--train", type=Path, required=True, help="folder of clean images")
    parser.add_argument("--val", type=Path, required=True, help="folder of clean images to measure on")
    parser.add_argument("--seconds", type=float, default=240, help="processor time to train each for")
    return run_reported(partial(run, parser.parse_args(arguments)))


def run(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    train_images, val_images = load_clean([options.train]), load_clean([options.val])
    rows = []
    for name, (optimiser, network) in CANDIDATES.items():
        torch.manual_seed(0)
        model = Compact(**network)
        use_channels_last(model)
        table = OptimiserTable(name=optimiser, learning_rate=1e-3)
        steps = train(model, train_images, build_optimiser(model.parameters(), table), options.seconds)
        row: dict[str, object] = {"backbone": name, "optimiser": optimiser}
        row["parameters"] = sum(p.numel() for p in model.parameters())
        row |= {"training_seconds": options.seconds, "steps": steps}
        row |= {f"psnr_sigma_{sigma}": round(measure(model, val_images, sigma), 3) for sigma in (15, 25, 50)}
        row["seconds_per_megapixel"] = round(seconds_per_megapixel(model), 3)
        rows.append(row)
        print(json.dumps(row), flush=True)
    write_results(options, rows, as_markdown(rows, options.seconds))


if __name__ == "__main__":
    sys.exit(main())
