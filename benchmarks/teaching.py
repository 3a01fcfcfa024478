"""Teach degradations that a bundle does not know, and measure what it gains by them and what others lose.

Photographs are printed in dots, and filmed and scratched, by the functions of ``examples/damage.py``; and the
noise of one camera is learned from pairs, four times, each time without one of its four scenes. Images of
scenes that were not learned from are restored blind, by the bundle as it was and as it became; so are the
test sets, where the two bundles compose differently.

    python -m benchmarks.teaching --data FOLDER [--minutes N] [--only NAME,NAME] [--limit N]

FOLDER holds ``train``, ``val`` and ``test``, as data/README.md describes them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import polyrestore
from benchmarks.harness import (
    describe_bundle,
    describe_machine,
    describe_versions,
    make_parser,
    make_progress,
    positive,
    run_reported,
    write_results,
)
from benchmarks.house_sets import HOUSE_SETS
from polyrestore.data import Pair, load_pairs, mixed_seed
from polyrestore.data.alignment import aligned
from polyrestore.data.images import image_paths, load_pixels
from polyrestore.errors import UnknownDataNameError, unknown_name
from polyrestore.evaluation.metrics import Protocol, mean_psnr, psnr
from polyrestore.evaluation.report import markdown_table
from polyrestore.teaching import Lesson, Training, teach
from polyrestore.teaching.making import find_function

DAMAGE = Path(__file__).resolve().parents[1] / "examples" / "damage.py"
PROTOCOL = Protocol()
CAMERA = "Nikon"


@dataclass(frozen=True)
class Case:
    """What is taught, and on what it is measured.

    Attributes:
        name: of the degradation.
        images: the photographs, or the folder of pairs, that are learned from.
        pairs: (damaged, true) images, (3, H, W) in [0, 1], of other scenes.
        function: of ``examples/damage.py``; empty for pairs.
        aligned: True to compare after the best whole-pixel shift; between the shots of a camera it moved.
    """

    name: str
    images: Path
    pairs: list[tuple[Tensor, Tensor]]
    function: str = ""
    aligned: bool = False


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser(__doc__, "teaching")
    parser.add_argument("--data", type=Path, required=True, help="folder with train, val and test")
    parser.add_argument("--minutes", type=float, default=15.0, help="for each lesson, about")
    parser.add_argument("--only", default="", help="these only, separated by commas: " + ", ".join(CASES))
    parser.add_argument("--limit", type=positive, help="the first so many images of each set only")
    return run_reported(partial(run, parser.parse_args(arguments)))


def printed(data: Path, scratch: Path, name: str) -> Case:
    """Learn from 60 photographs, and measure on 16 of another folder."""
    learned = scratch / f"{name}-photographs"
    learned.mkdir()
    for path in image_paths(data / "train" / "BSD381")[::6][:60]:
        shutil.copy(path, learned / path.name)
    function = find_function(f"{DAMAGE}:{name}")
    pairs = []
    for path in image_paths(data / "val" / "BSD32")[::2]:
        clean = load_pixels(path).float() / 255
        damaged = function(clean, torch.Generator().manual_seed(mixed_seed(1, path.stem)))
        pairs.append(((damaged.clamp(0, 1) * 255).round() / 255, clean))
    return Case(name, learned, pairs, name)


def one_camera(unseen_scene: str, data: Path, scratch: Path, name: str) -> Case:
    """Learn from 18 pairs of three scenes, and measure on the six of a fourth."""
    pairs = data / "train" / "PolyUOther"
    for side in ("input", "target"):
        (scratch / name / side).mkdir(parents=True)
        for path in image_paths(pairs / side):
            if path.name.startswith(CAMERA) and not path.name.startswith(unseen_scene):
                shutil.copy(path, scratch / name / side / path.name)
    unseen = [pair for pair in load_pairs(pairs) if pair.name.startswith(unseen_scene)]
    return Case(name, scratch / name, [as_images(pair) for pair in unseen], aligned=True)


def as_images(pair: Pair) -> tuple[Tensor, Tensor]:
    return pair.degraded.float() / 255, pair.clean.float() / 255


CASES: dict[str, Callable[[Path, Path, str], Case]] = {
    "halftone": printed,
    "film_scratches": printed,
    "nikon_desk": partial(one_camera, "Nikon800_desk"),
    "nikon_map": partial(one_camera, "Nikon800_map"),
    "nikon_photo": partial(one_camera, "Nikon800_photo"),
    "nikon_carbi": partial(one_camera, "Nikon_800_carbi"),
}


def run(options: argparse.Namespace) -> None:
    names = [name.strip() for name in options.only.split(",")] if options.only else list(CASES)
    for name in names:
        if name not in CASES:
            raise unknown_name("lesson", name, CASES, UnknownDataNameError)
    plain = polyrestore.load(options.bundle)
    about = {
        **describe_bundle(plain),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "minutes": f"{options.minutes:g} at most for each lesson, about",
        "compared": "RGB, rounded to 8 bits; PSNR in dB, mean per image; all blind; what a camera took, "
        "after the best whole-pixel shift",
    }
    lessons: list[dict[str, Any]] = []
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            case = CASES[name](options.data, Path(scratch), name)
            lessons.append(measure(case, plain, Path(scratch), options))
        write_results(options, {"about": about, "lessons": lessons}, as_page(about, lessons))
    print(as_page(about, lessons))


def measure(
    case: Case, plain: polyrestore.Restorer, scratch: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Teach a case, and compare the bundle that comes of it with the one that it comes from."""
    damage = find_function(f"{DAMAGE}:{case.function}") if case.function else None
    own = scratch / "own"
    started = time.monotonic()
    lesson = Lesson(case.name, case.images, own, options.bundle, options.minutes, damage, training=Training())
    report = teach(lesson)
    minutes = (time.monotonic() - started) / 60
    taught = polyrestore.load(str(own))
    figure = aligned_psnr if case.aligned else plain_psnr
    before, after, found = [], [], 0
    for damaged, target in case.pairs:
        found += case.name in taught.recognise(damaged).weights
        before.append(figure(plain.restore(damaged).pixels, target))
        after.append(figure(taught.restore(damaged).pixels, target))
    return {
        "name": case.name,
        "images": report.pairs + report.held_back,
        "minutes": round(minutes, 1),
        "measured": len(case.pairs),
        "input": round(mean_psnr([figure(*pair) for pair in case.pairs]), 2),
        "untaught": round(mean_psnr(before), 2),
        "taught": round(mean_psnr(after), 2),
        "recognised": found,
        "sets": list(changes(plain, taught, options)),
    }


def plain_psnr(image: Tensor, target: Tensor) -> float:
    return psnr(image, target, PROTOCOL)


def aligned_psnr(image: Tensor, target: Tensor) -> float:
    return psnr(*aligned(image, target), PROTOCOL)


def changes(
    plain: polyrestore.Restorer, taught: polyrestore.Restorer, options: argparse.Namespace
) -> Iterable[dict[str, Any]]:
    """Give what each test set gains; an image that both bundles compose alike is restored alike."""
    with make_progress() as progress:
        for each in HOUSE_SETS.values():
            if each.aligned:
                continue
            test_set = each.below(options.data / "test")
            count = min(len(test_set.samples), options.limit or len(test_set.samples))
            task = progress.add_task(each.name, total=count)
            gains, different = [], 0
            for image in test_set.images(options.limit):
                composed = [restorer.recognise(image.degraded).weights for restorer in (plain, taught)]
                before, after = 0.0, 0.0
                if composed[0] != composed[1]:
                    different += 1
                    # The mean of one, since an image that equals its target counts as 100 dB there.
                    before, after = (
                        mean_psnr([plain_psnr(restorer.restore(image.degraded).pixels, image.target)])
                        for restorer in (plain, taught)
                    )
                gains.append(after - before)
                progress.advance(task)
            yield {
                "set": each.name,
                "images": count,
                "composed differently": different,
                "gain": round(sum(gains) / count, 3),
            }


def as_page(about: dict[str, Any], lessons: list[dict[str, Any]]) -> str:
    keys = ("name", "images", "minutes", "measured", "input", "untaught", "taught", "recognised")
    lines = ["# Teaching", "", *(f"- {key}: {value}" for key, value in about.items()), ""]
    lines += markdown_table(keys, [[str(lesson[key]) for key in keys] for lesson in lessons])
    lines += [
        "",
        "What test sets gain by it, in dB, with how many of their images are composed differently:",
        "",
    ]
    sets = {each["set"]: each["images"] for lesson in lessons for each in lesson["sets"]}
    rows = []
    for name, count in sets.items():
        cells = [
            f"{each['gain']:+.2f} ({each['composed differently']})"
            for lesson in lessons
            for each in lesson["sets"]
            if each["set"] == name
        ]
        rows.append([name, str(count), *cells])
    lines += markdown_table(("set", "images", *(lesson["name"] for lesson in lessons)), rows)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
