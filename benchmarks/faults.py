"""A folder with poisoned files, restored at one go, and again while the run is killed time after time.

Both must end with the same bytes and with an account of every file. The images are tiny and so is the
network, which is not trained: what is tried is the run. One in seven of the poisoned files ends the process
that reads it, through a plugin that stands for a decoder with a defect. Each time, a worker is killed first
(SIGKILL), and then the command, which leaves its workers to themselves. With ``--engine ray``, the workers
are actors of a cluster that the command starts on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import describe_versions, make_parser, positive, run_reported, write_results
from polyrestore.errors import PolyrestoreError
from polyrestore.files import sha256_of
from polyrestore.imaging import ImageMetadata, write_image
from tests.support.tiny_bundle import save_tiny_bundle

SUFFIXES = (".png", ".jpg", ".tif", ".webp")
KINDS = ("empty", "garbage", "cut", "huge", "link", "pipe", "crash")
# What a file says in it happens to the process that reads it.
CRASHES = """
import os, signal
from polyrestore.bulk import one_file

read = one_file.read_content

def crash(path):
    content = read(path)
    if b"ends by SIGSEGV" in content:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"ends by exit" in content:
        os._exit(3)
    return content

one_file.read_content = crash
"""
COMMAND = "import sys; from polyrestore.cli.main import main; main()"
_LONGEST_S = 1800


def make_folder(folder: Path, files: int, poisoned: int, seed: int = 0) -> dict[str, str]:
    """Fill a folder and its sub-folders with images, some of them poisoned.

    Args:
        folder: made.
        files: how many there are.
        poisoned: how many of them are, of all kinds in turn.
        seed: decides what is in them, and which ones are poisoned.

    Returns:
        the kind of each file, by relative path; "whole" of an image.
    """
    chance = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    kinds = dict.fromkeys(range(files), "whole")
    kinds |= {
        number: KINDS[index % len(KINDS)]
        for index, number in enumerate(chance.sample(range(files), poisoned))
    }
    found = {}
    for number, kind in kinds.items():
        name = f"{number % 10}/{number:04}{SUFFIXES[number % len(SUFFIXES)]}"
        pixels = torch.rand(3, chance.randint(8, 40), chance.randint(8, 40), generator=generator)
        write_image(folder / name, pixels, ImageMetadata())
        if kind != "whole":
            _poison(folder / name, kind, number)
        found[name] = kind
    return found


def _poison(path: Path, kind: str, number: int) -> None:
    content = path.read_bytes()
    path.unlink()
    if kind == "link":
        path.symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
        poison = {
            "empty": b"",
            "garbage": head + random.Random(number).randbytes(400),
            "cut": content[: len(content) // 4],
            "huge": head + bytes.fromhex("0000ea600000ea600802000000") + b"\0" * 40,
            "crash": content + (b"ends by SIGSEGV" if number % 2 else b"ends by exit"),
        }
        path.write_bytes(poison[kind])


def account(output: Path, kinds: dict[str, str], source: Path) -> dict[str, str]:
    """Return the SHA-256 of every result by relative path, once the report has been found to be exact.

    Args:
        output: the output folder.
        kinds: from :func:`make_folder`.
        source: the folder that was restored.

    Raises:
        PolyrestoreError: a file is missing, is there without an account, or has a wrong one.
    """
    records = [json.loads(line) for line in (output / "report.jsonl").read_text().splitlines()]
    inputs = Counter(str(Path(record["input"]).relative_to(source)) for record in records)
    require(inputs == Counter(list(kinds)), "the report has not one line for every input")
    for record in records:
        name = str(Path(record["input"]).relative_to(source))
        whole = kinds[name] == "whole"
        require((record["status"] == "failed") != whole, f"{name} is {record['status']}")
        require(("crashed" in record["note_codes"]) == (kinds[name] == "crash"), f"{name}: wrong code")
    told = {record["output"] for record in records if record["output"]}
    there = {
        path.relative_to(output).as_posix()
        for path in output.rglob("*")
        if path.is_file() and path.name not in ("report.jsonl", ".report.pending")
    }
    require(told == there, f"not accounted for: {sorted(told ^ there)[:3]}")
    return {name: sha256_of(output / name) for name in there}


def require(holds: bool, what: str) -> None:
    if not holds:
        raise PolyrestoreError(what)


def restore(arguments: Sequence[str], output: Path) -> dict[str, Any]:
    """Run the command to its end, and return the object that it prints."""
    command = [*arguments, "-o", str(output), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S)
    require(done.returncode == 1, f"exit code {done.returncode}: {done.stderr[-300:]}")
    values: dict[str, Any] = json.loads(done.stdout)
    require(values["found"] == sum(values[key] for key in ("restored", "skipped", "failed")), "wrong sum")
    return values


def kill_after(arguments: Sequence[str], output: Path, results: int) -> int:
    """Run the command until so many more results are told; a worker is killed half way.

    Returns:
        how long its workers lived on, in milliseconds.
    """
    import psutil

    target, before = results_told(output) + results, results_told(output)
    process = subprocess.Popen(
        [*arguments, "-o", str(output)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    killed = False
    while results_told(output) < target:
        require(process.poll() is None, "the run ended before it was killed")
        if not killed and results_told(output) >= before + results // 2:
            for worker in workers_of(process.pid)[:1]:
                worker.kill()
                killed = True
        time.sleep(0.01)
    require(killed, "no worker was killed")
    workers = workers_of(process.pid)
    process.kill()
    process.wait()
    started = time.monotonic()
    _, alive = psutil.wait_procs(workers, timeout=60)
    require(not alive, "workers outlive a command that was killed")
    return round(1000 * (time.monotonic() - started))


def workers_of(pid: int) -> list[Any]:
    """Return the worker processes of a command, without those that keep track of resources."""
    import psutil

    found = []
    for process in psutil.Process(pid).children(recursive=True):
        # One that has just ended has no command line any more.
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if "spawn_main" in line or line.startswith("ray::_Holder"):
                found.append(process)
    return found


def results_told(output: Path) -> int:
    """Return how many lines of a report tell of a result that was made anew."""
    try:
        return (output / "report.jsonl").read_bytes().count(b'"status": "restored"')
    except FileNotFoundError:
        return 0


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Restore a poisoned folder at one go and in pieces, and return what was counted."""
    source = folder / "in"
    kinds = make_folder(source, options.files, options.poisoned, options.seed)
    (folder / "crashes.py").write_text(CRASHES)
    arguments = [sys.executable, "-c", COMMAND, "--plugin", str(folder / "crashes.py"), "restore"]
    arguments += [str(source), "-r", "--as", "rain", "--workers", str(options.workers)]
    arguments += ["--bundle", str(save_tiny_bundle(folder / "tiny")), "--device", "cpu"]
    arguments += ["--engine", options.engine]
    calm = restore(arguments, folder / "calm")
    results = account(folder / "calm", kinds, source)
    print(
        f"at one go: {calm['restored']} restored, {calm['failed']} failed, {calm['seconds']:.0f} s",
        flush=True,
    )
    chance = random.Random(options.seed)
    share = options.files // (options.kills + 1)
    lived_ms = []
    for number in range(options.kills):
        lived_ms.append(kill_after(arguments, folder / "killed", chance.randint(share // 2, share)))
        print(f"killed {number + 1}: {results_told(folder / 'killed')} results", flush=True)
    last = restore(arguments, folder / "killed")
    same = account(folder / "killed", kinds, source) == results
    require(same, "the results of the run that was killed have other bytes")
    print(
        f"at last: {last['restored']} restored, {last['skipped']} skipped, {last['failed']} failed",
        flush=True,
    )
    poisons = Counter(kind for kind in kinds.values() if kind != "whole")
    return {
        "versions": describe_versions(),
        "files": options.files,
        "poisoned": dict(sorted(poisons.items())),
        "engine": options.engine,
        "workers": options.workers,
        "at_one_go": {key: calm[key] for key in ("restored", "failed", "seconds")},
        "kills": options.kills,
        "workers_killed": options.kills,
        "workers_lived_on_ms": max(lived_ms, default=0),
        "last_run": {key: last[key] for key in ("restored", "skipped", "failed")},
        "same_bytes": same,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the folder, restore it twice, compare, and write the figures."""
    parser = make_parser(__doc__, "faults", bundle=False)
    parser.add_argument("--files", type=positive, default=1000)
    parser.add_argument("--poisoned", type=positive, default=70)
    parser.add_argument("--kills", type=positive, default=10)
    parser.add_argument("--workers", type=positive, default=2)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    def run() -> None:
        folder = Path(tempfile.mkdtemp(prefix="polyrestore-faults-"))
        try:
            write_results(options, measure(options, folder))
        finally:
            shutil.rmtree(folder)

    return run_reported(run)


if __name__ == "__main__":
    sys.exit(main())
