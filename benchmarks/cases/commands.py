"""Cases about the command: what it is given, what happens while it runs, and whose files are whose."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
import time
from functools import partial

from PIL import Image as PILImage

from benchmarks.cases.workplace import Case, Verdict, Workplace, inside, is_one_line, shown_error
from polyrestore.bulk.report import REPORT_NAME
from polyrestore.imaging import read_image

_PICTURE = "clean-cartoon.png"
_WAIT_S = 0.05
_LONGEST_S = 120


def damaged_report(place: Workplace, name: str) -> Verdict:
    folder = place.new_folder()
    folder.mkdir()
    shutil.copyfile(place.inputs / name, folder / REPORT_NAME)
    done = place.restore(_PICTURE, "--as", "noise", output=folder)
    aside = [path for path in folder.iterdir() if path.name not in (REPORT_NAME, _PICTURE)]
    kept = any(path.read_bytes() == (place.inputs / name).read_bytes() for path in aside if path.is_file())
    notes = [line for line in done.said.splitlines() if line.startswith("note: ")]
    passed = done.code == 0 and kept and bool(notes) and (folder / _PICTURE).is_file()
    return Verdict(passed, f"exit {done.code}, set aside: {kept}, {len(notes)} line(s)")


def days(place: Workplace) -> Verdict:
    """Two runs from different folders into one: neither result is lost."""
    folder, colours = place.new_folder(), ("red", "blue")
    for day, colour in enumerate(colours, start=1):
        path = place.room / f"day{day}" / "IMG1.png"
        path.parent.mkdir(exist_ok=True)
        PILImage.new("RGB", (40, 30), colour).save(path)
        place.restore(path.parent, "--as", "noise", output=folder)
    found = sorted(path.name for path in folder.glob("*.png"))
    hashes = {hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in found}
    return Verdict(len(hashes) == 2, ", ".join(found))


def pipe(place: Workplace) -> Verdict:
    path = place.new_folder() / "p.png"
    path.parent.mkdir()
    os.mkfifo(path)
    model = path.parent / "bundle"
    model.mkdir()
    os.mkfifo(model / "model.json")
    picture = place.inputs / _PICTURE
    shutil.copyfile(picture, path.parent / _PICTURE)
    refused = [
        place.restore(path),
        place.command("restore", picture, "-o", place.new_folder(), "--bundle", model),
        place.command("import", path, "-o", place.new_folder()),
    ]
    in_folder = place.restore(path.parent, "--as", "noise")
    account = "1 restored, 0 skipped, 1 failed" in in_folder.said and in_folder.code == 1
    lines = [is_one_line(done.said, "regular file") and done.code == 1 for done in refused]
    said = f"{sum(lines)} of {len(lines)} refused; in a folder: {in_folder.last_line()}"
    return Verdict(all(lines) and account, said)


def cut_output(place: Workplace) -> Verdict:
    first = place.restore(_PICTURE, "--as", "noise")
    whole = first.result.read_bytes()
    first.result.write_bytes(whole[:100])
    again = place.restore(_PICTURE, "--as", "noise", output=first.output)
    return Verdict(again.code == 0 and again.result.read_bytes() == whole, again.last_line())


def bad_standard_output(place: Workplace, line: str) -> Verdict:
    code, err = place.shell(
        line, "restore", place.inputs / _PICTURE, "-o", place.new_folder(), "--bundle", place.bundle,
        "--as", "noise",
    )  # fmt: skip
    last = (err.strip().splitlines() or [""])[-1]
    account = "1 found: 1 restored" in last
    return Verdict(code == 1 and account and "Traceback" not in err, f"exit {code}: {last}")


def signalled(place: Workplace, number: signal.Signals, code: int) -> Verdict:
    """End a run of many files while it works."""
    folder, output = place.new_folder(), place.new_folder()
    folder.mkdir()
    for index in range(40):
        shutil.copyfile(place.inputs / "clean-page12.png", folder / f"{index:02}.png")
    words = ("restore", folder, "-o", output, "--bundle", place.bundle, "--as", "noise")
    running = place.process(*words)
    until = time.monotonic() + _LONGEST_S
    while not list(output.glob("*.png")) and running.poll() is None and time.monotonic() < until:
        time.sleep(_WAIT_S)
    running.send_signal(number)
    out, err = running.communicate(timeout=_LONGEST_S)
    last = (out.strip().splitlines() or [""])[-1]
    for path in output.glob("*.png"):
        read_image(path)
    passed = running.returncode == code and "40 found" in last and "Traceback" not in err
    return Verdict(passed, f"exit {running.returncode}: {last}")


def escape(place: Workplace) -> Verdict:
    folder = place.new_folder()
    folder.mkdir()
    name = "a\x1b[31mred\x1b]0;title\x07.png"
    shutil.copyfile(place.inputs / _PICTURE, folder / name)
    (folder / f"text{name}").write_text("no image")
    done = place.restore(folder, "--as", "noise")
    return Verdict("\x1b" not in done.said and r"\x1b[31m" in done.said, "shown escaped")


def strange_restormers(place: Workplace) -> Verdict:
    """Import grey and dual-pixel Restormers, or say of each that it is not supported."""
    folder = place.new_folder()
    with inside(folder):
        code = (place.inputs / "make_restormer_grey_dual.py").read_text()
        exec(compile(code, "make_restormer_grey_dual.py", "exec"), {})
    said = []
    for name in ("grey", "dual"):
        done = place.command("import", folder / f"{name}.pth", "-o", folder / name)
        # Which of the two it is, and that it cannot be used, is said in other words.
        refused = done.code == 1 and is_one_line(done.said, "dual-pixel" if name == "dual" else name)
        said.append((done.code == 0 or refused, shown_error(done.said)))
    return Verdict(all(good for good, _ in said), "; ".join(text for _, text in said)[:200])


def ssim_of_full_windows(place: Workplace) -> Verdict:
    done = place.shell(f"exec {sys.executable} {place.inputs / 'ssim_full_windows.py'} 1>&2")[1]
    differences = [abs(float(line.rsplit(maxsplit=1)[1])) for line in done.splitlines() if "diff" in line]
    passed = len(differences) == 8 and max(differences) <= 1e-4
    return Verdict(
        passed, f"largest difference {max(differences, default=float('nan')):.1e} in {len(differences)}"
    )


def report_cases(names: tuple[str, ...]) -> dict[str, Case]:
    return {
        f"report-{name}.jsonl": Case(partial(damaged_report, name=f"report-{name}.jsonl")) for name in names
    }


CASES: dict[str, Case] = report_cases(("deep", "expl-int", "input-list", "notes-int", "output-list")) | {
    "two runs from folders of equal names": Case(days, ()),
    "pipes": Case(pipe, (_PICTURE,)),
    "output cut to 100 bytes": Case(cut_output, (_PICTURE,)),
    ">/dev/full": Case(partial(bad_standard_output, line='exec "$@" >/dev/full'), (_PICTURE,)),
    ">&-": Case(partial(bad_standard_output, line='exec "$@" >&-'), (_PICTURE,)),
    "SIGTERM": Case(partial(signalled, number=signal.SIGTERM, code=143), ("clean-page12.png",)),
    "SIGINT": Case(partial(signalled, number=signal.SIGINT, code=130), ("clean-page12.png",)),
    "a name with escape sequences": Case(escape, (_PICTURE,)),
    "make_restormer_grey_dual.py": Case(strange_restormers),
    "ssim_full_windows.py": Case(ssim_of_full_windows),
}
