"""Feed the readers mutated files of every format, and count what comes of them.

    python -m scripts.fuzz --files 20000 --seed 0

Each file is either read or refused with an ImageError of one line. Anything else is a failure: another error,
a picture with values outside of [0, 1], a file that takes longer than the limit, or a decoder that ends the
process. Files that fail are kept in the output folder. The exit code is then 1.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from polyrestore.errors import ImageError, MissingExtraError
from polyrestore.imaging import FORMATS, ImageMetadata, encode_image, read_image
from scripts.aside import Aside, NoAnswerError

LIMIT_S = 20.0
_SIDE_PX = 24
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def make_seeds() -> dict[str, bytes]:
    """Return a small file of every kind that is written here: each format, depth and number of channels."""
    seeds: dict[str, bytes] = {}
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:_SIDE_PX, :_SIDE_PX] / _SIDE_PX
    picture = np.stack([rows, columns, (rows + columns) / 2]) * 0.9 + generator.random((3, 1, 1)) * 0.1
    pixels = torch.from_numpy(picture.astype(np.float32))
    alpha = torch.from_numpy((rows[None] > 0.3).astype(np.float32))
    for name, file_format in FORMATS.items():
        if file_format.encode is None:
            continue
        for bits in file_format.bit_depths:
            for grey in (False, True):
                for opaque in (True, False):
                    metadata = ImageMetadata(
                        format=name, bit_depth=bits, grey=grey, alpha=None if opaque else alpha, dpi=(72, 72)
                    )
                    try:
                        content, _ = encode_image(Path(f"a{file_format.suffixes[0]}"), pixels, metadata)
                    except MissingExtraError:
                        continue
                    seeds[f"{name} {bits} {'grey' if grey else 'colour'}{'' if opaque else ' alpha'}"] = (
                        content
                    )
    return seeds | _seeds_by_other_writers(pixels)


def _seeds_by_other_writers(pixels: torch.Tensor) -> dict[str, bytes]:
    """Return files of kinds that are read, but not written here."""
    import tifffile
    from PIL import Image as PILImage

    levels = (pixels * 255).byte().permute(1, 2, 0).contiguous().numpy()
    seeds = {}
    picture = PILImage.fromarray(levels)
    for name, mode, options in (
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "CMYK", {}),
        ("PNG", "P", {}),
        ("PNG", "1", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "L", {"compression": "jpeg"}),
        ("TIFF", "1", {"compression": "group4"}),
        ("WEBP", "RGB", {"save_all": True, "append_images": [picture.rotate(90)]}),
        ("GIF", "P", {"save_all": True, "append_images": [picture.rotate(90)]}),
    ):
        buffer = io.BytesIO()
        picture.convert(mode).save(buffer, name, **options)
        seeds[f"{name} {mode} {' '.join(map(str, options))}".strip()] = buffer.getvalue()
    for kind in ("float16", "float32", "int16", "uint32"):
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer) as writer:
            writer.write((levels / 255 * 200).astype(kind), photometric="rgb")
        seeds[f"TIFF {kind}"] = buffer.getvalue()
    return seeds


def mutate(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """Return a file that is damaged in one to four ways.

    Args:
        content: a whole file.
        other: another one, from which parts are taken.
        chance: decides how.
    """
    damaged = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        if not damaged:
            break
        # Headers decide more than pixels, and are hit as often.
        reach = min(len(damaged), 256) if chance.random() < 0.5 else len(damaged)
        place, length = chance.randrange(reach), chance.randint(1, 32)
        way = chance.randrange(8)
        if way == 0:
            damaged[place] ^= 1 << chance.randrange(8)
        elif way == 1:
            damaged[place : place + length] = chance.randbytes(length)
        elif way == 2:
            del damaged[place : place + length]
        elif way == 3:
            del damaged[place:]
        elif way == 4:
            damaged[place:place] = damaged[place : place + length]
        elif way == 5:
            start = chance.randrange(len(other))
            damaged[place : place + length] = other[start : start + length]
        elif way == 6:
            size, order = chance.choice((1, 2, 4)), chance.choice(("big", "little"))
            number = chance.choice(_NUMBERS) & ((1 << 8 * size) - 1)
            damaged[place : place + size] = number.to_bytes(size, order)  # type: ignore[arg-type]
        else:
            damaged[place : place + length] = bytes(length)
    return bytes(damaged)


def mutations(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield damaged files, the same for the same seed, with the kind that each was."""
    chance = random.Random(seed)
    seeds = make_seeds()
    kinds = sorted(seeds)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        yield kind, mutate(seeds[kind], seeds[chance.choice(kinds)], chance)


def judge(content: bytes) -> str:
    """Return "read" or "refused", or in words what went wrong with a file."""
    try:
        image = read_image(content, max_megapixels=4)
    except (ImageError, MissingExtraError) as error:
        return "refused" if "\n" not in str(error) else f"a message of several lines: {error!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    if not bool(((image.pixels >= 0) & (image.pixels <= 1)).all()):
        return "values outside of [0, 1]"
    return "read"


def fuzz(count: int, seed: int, output: Path) -> int:
    """Judge files, print a summary, and return how many failed; their bytes are kept.

    Args:
        count: of files.
        seed: decides about all of them.
        output: a folder for the files that failed.
    """
    reader, started = Aside(judge, LIMIT_S), time.monotonic()
    counts: dict[str, Counter[str]] = {}
    failures: list[str] = []
    for kind, content in mutations(count, seed):
        try:
            verdict = reader.ask(content)
        except NoAnswerError as error:
            verdict = str(error)
        known = verdict in ("read", "refused")
        counts.setdefault(kind.split()[0], Counter())[verdict if known else "failed"] += 1
        if not known:
            output.mkdir(parents=True, exist_ok=True)
            path = output / f"{hashlib.sha256(content).hexdigest()[:12]}.bin"
            path.write_bytes(content)
            failures.append(f"{path} ({kind}): {verdict}")
    reader.close()
    print(f"{'format':10}{'files':>8}{'read':>8}{'refused':>9}{'failed':>8}")
    for name, found in sorted(counts.items()):
        print(f"{name:10}{found.total():8}{found['read']:8}{found['refused']:9}{found['failed']:8}")
    print(f"{count} files of seed {seed} in {time.monotonic() - started:.0f} s, {len(failures)} failed")
    for failure in failures:
        print(failure)
    return len(failures)


def main() -> int:
    """Read the arguments, and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=20_000, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="decides about all of them")
    parser.add_argument("--output", type=Path, default=Path("fuzz-output"), help="for the files that fail")
    arguments = parser.parse_args()
    # For the process that does the work.
    os.environ["OMP_NUM_THREADS"] = "1"
    return int(bool(fuzz(arguments.files, arguments.seed, arguments.output)))


if __name__ == "__main__":
    sys.exit(main())
