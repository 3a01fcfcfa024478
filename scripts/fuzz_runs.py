"""Send folders of damaged files through whole runs of the command, and count what comes of them.

    python -m scripts.fuzz_runs --files 5000 --seed 0

A run reads, recognises, restores with a very small network, writes and reports. Whatever the files are, each
of them is in the account and in the report, restored or failed with one line; inputs stay as they were, byte
for byte; results are whole and have the hash that the report says; nothing else is left in the output folder.
A second run skips what is restored. A folder that fails is kept; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import torch

from polyrestore.adapters import AdapterBank, LoraConfig
from polyrestore.backbones import build_backbone
from polyrestore.bulk.report import PENDING_NAME, REPORT_NAME
from polyrestore.bundles import Bundle, BundleInfo, save_bundle
from polyrestore.cli.main import run
from polyrestore.files import sha256_of
from polyrestore.imaging import FORMATS, open_pages
from polyrestore.recognition import build_recogniser
from scripts.aside import Aside, NoAnswerError
from scripts.fuzz import mutations

FILES_IN_A_FOLDER = 50
LIMIT_S = 600.0
OPTIONS: tuple[tuple[str, ...], ...] = (
    (),
    ("--as", "noise"),
    ("--as", "noise", "--format", "png"),
    ("--as", "rain", "--format", "tiff", "--keep-times"),
    ("--as", "noise", "--explain"),
    ("--as", "rain=0.5", "--format", "jpeg", "--jpeg-quality", "keep"),
)
# An error that the package did not mean to raise is told with its class.
_UNMEANT = re.compile(r"(?!MissingExtra)[A-Z]\w*(Error|Exception|Warning|Interrupt): ")


def small_bundle() -> Bundle:
    """Return a bundle of random parts, of which every one is as small as it can be."""
    generator = torch.Generator().manual_seed(0)
    blocks = {"encoder_blocks": (1, 1), "middle_blocks": 1, "decoder_blocks": (1, 1)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = build_backbone("compact", width=4, context_dim=8, **blocks)
        recogniser = build_recogniser("network", width=4, dimension=8)
    bank = AdapterBank(backbone)
    for name in ("noise", "rain"):
        bank.create(name, LoraConfig(rank=1), generator)
    adapters = {name: bank.export(name) for name in bank.names}
    bank.detach()
    rows = torch.nn.functional.normalize(torch.randn(3, 8, generator=generator), dim=1)
    prototypes = dict(zip((*adapters, "clean"), rows, strict=True))
    return Bundle("fuzz", backbone, adapters, recogniser, prototypes, {}, BundleInfo())


def restore_folder(contents: Sequence[bytes], room: Path, bundle: str, chance: random.Random) -> list[str]:
    """Run the command over files, twice, and return in words what was wrong with that.

    Args:
        contents: of the files.
        room: an empty folder; ``in`` and ``out`` are made there.
        bundle: the folder of a bundle.
        chance: decides about endings and options.
    """
    source, output = room / "in", room / "out"
    source.mkdir()
    endings = [suffix for each in FORMATS.values() for suffix in each.suffixes]
    for number, content in enumerate(contents):
        (source / f"{number:03}{chance.choice(endings)}").write_bytes(content)
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    words = ["restore", str(source), "-o", str(output), "--bundle", bundle, "--max-megapixels", "4"]
    words += ["--json", *chance.choice(OPTIONS)]
    first, second = _call(words), _call(words)
    wrong = [*_judge_account(first, len(contents)), *_judge_account(second, len(contents))]
    if before != {path.name: path.read_bytes() for path in source.iterdir()}:
        wrong.append("an input was changed")
    if not wrong and (first["restored"], first["failed"]) != (second["skipped"], second["failed"]):
        wrong.append(f"the second run was another: {first} and {second}")
    return wrong or judge_output(output, before.keys())


def _call(words: Sequence[str]) -> dict[str, object]:
    """Return what the command printed as an object, with the exit code and what was said beside it."""
    shown, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
        code = run(words)
    return {**json.loads(shown.getvalue() or "{}"), "code": code, "said": said.getvalue()}


def _judge_account(told: dict[str, object], count: int) -> list[str]:
    numbers = [told.get(name, 0) for name in ("restored", "skipped", "failed")]
    wrong = []
    if told.get("found") != count or sum(map(int, map(str, numbers))) != count:
        wrong.append(f"{count} files, and the account is {told}")
    if told["code"] != int(bool(told.get("failed"))):
        wrong.append(f"exit code {told['code']} with {told.get('failed')} failed")
    # Neither a traceback nor what a library has to say about a file.
    odd = [line for line in str(told["said"]).splitlines() if not line.startswith(("error: ", "note: "))]
    return [*wrong, f"said: {odd[0]}"] if odd else wrong


def judge_output(output: Path, names: Collection[str]) -> list[str]:
    """Return what is wrong with the results and the report of a run.

    Args:
        output: the output folder.
        names: of all inputs.
    """
    records = [json.loads(line) for line in (output / REPORT_NAME).read_text("utf-8").splitlines()]
    wrong = []
    if sorted(Path(record["input"]).name for record in records) != sorted(names):
        wrong.append("the report does not have one line for each input")
    known = {REPORT_NAME, PENDING_NAME}
    for record in records:
        known |= {*record["explanation"], *filter(None, [record["output"]])}
        error = record["error"]
        if (error is None) != (record["status"] != "failed") or (error and "\n" in error):
            wrong.append(f"{record['input']}: status {record['status']}, error {error!r}")
        if error and _UNMEANT.match(error):
            wrong.append(f"{record['input']}: {error}")
        if record["output"] is not None and (output / record["output"]).exists():
            wrong += _judge_result(output / record["output"], record["output_sha256"])
    found = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    return wrong + [
        f"{name} is {'left over' if name in found else 'missing'}"
        for name in found ^ known
        if name != PENDING_NAME
    ]


def _judge_result(path: Path, sha256: str) -> list[str]:
    if sha256_of(path) != sha256:
        return [f"{path} has not the hash that the report says"]
    try:
        with open_pages(path) as pages:
            for _ in pages:
                pass
    except Exception as error:
        return [f"{path} is not whole: {type(error).__name__}: {error}"]
    return []


def judge_folder(task: tuple[Sequence[bytes], Path, str, str]) -> list[str]:
    """Return what :func:`restore_folder` does, or an error that ended it.

    Args:
        task: the contents, the room, the bundle, and a seed.
    """
    contents, room, bundle, seed = task
    try:
        return restore_folder(contents, room, bundle, random.Random(seed))
    except BaseException as error:
        return [f"{type(error).__name__}: {error}"]


def fuzz_runs(count: int, seed: int, output: Path) -> int:
    """Judge folders of damaged files, print a summary, and return how many failed; those are kept.

    Args:
        count: of files.
        seed: decides about all of them.
        output: for the folders that fail.
    """
    started, failed = time.monotonic(), 0
    contents = [content for _, content in mutations(count, seed)]
    starts = range(0, count, FILES_IN_A_FOLDER)
    with tempfile.TemporaryDirectory() as place:
        bundle = str(save_bundle(Path(place, "bundle"), small_bundle()))
        runner = Aside(judge_folder, LIMIT_S)
        for start in starts:
            room = Path(place, f"{seed}-{start}")
            room.mkdir()
            try:
                wrong = runner.ask((contents[start : start + FILES_IN_A_FOLDER], room, bundle, room.name))
            except NoAnswerError as error:
                wrong = [str(error)]
            if wrong:
                shutil.copytree(room, output / room.name, dirs_exist_ok=True)
                failed += 1
                print(f"{output / room.name}:", *wrong, sep="\n  ")
            shutil.rmtree(room)
        runner.close()
    seconds = time.monotonic() - started
    print(f"{count} files of seed {seed} in {len(starts)} runs in {seconds:.0f} s, {failed} failed")
    return failed


def main() -> int:
    """Read the arguments, and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=5_000, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="decides about all of them")
    parser.add_argument("--output", type=Path, default=Path("fuzz-output"), help="for the folders that fail")
    arguments = parser.parse_args()
    # For the process that does the work.
    os.environ["OMP_NUM_THREADS"] = "1"
    return int(bool(fuzz_runs(arguments.files, arguments.seed, arguments.output)))


if __name__ == "__main__":
    sys.exit(main())
