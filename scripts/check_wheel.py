"""Build the wheel, install it away from the checkout, and restore a photograph with both bundles in it.

python scripts/check_wheel.py

The wheel goes into a new environment that sees the other packages of the interpreter running this script,
but neither the checkout nor an editable installation of it. That takes seconds, and what the wheel lacks is
missed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PHOTOGRAPH = ROOT / "examples" / "photographs" / "camera.png"
BUNDLES = ("default", "adair")


def main() -> None:
    """Check the wheel, and say what was checked.

    Raises:
        SystemExit: a file is missing in the wheel, or the installed package does not do its work.
    """
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        wheel = build_wheel(scratch)
        missing = package_files() - set(zipfile.ZipFile(wheel).namelist())
        if missing:
            raise SystemExit(f"{wheel.name} lacks {', '.join(sorted(missing))}")
        python = install_alone(wheel, scratch / "environment")
        where = run([python, "-c", "import polyrestore; print(polyrestore.__file__)"], scratch).strip()
        if not Path(where).is_relative_to(scratch.resolve()):
            raise SystemExit(f"polyrestore was imported from {where}, not from the wheel")
        for bundle in BUNDLES:
            command: list[str | Path] = [
                python,
                "-m",
                "polyrestore",
                "restore",
                PHOTOGRAPH,
                "--bundle",
                bundle,
                "-o",
                bundle,
            ]
            run(command, scratch)
            if not (scratch / bundle / PHOTOGRAPH.name).is_file():
                raise SystemExit(f"the bundle {bundle} restored nothing")
        print(f"{wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB: restores with {' and '.join(BUNDLES)}")


def package_files() -> set[str]:
    """Return what the wheel has to hold of the package: all modules, and all data that it reads."""
    source = ROOT / "src"
    found = {path for path in (source / "polyrestore").rglob("*") if path.is_file()}
    return {
        path.relative_to(source).as_posix()
        for path in found
        if "__pycache__" not in path.parts and (path.suffix != ".toml" or "bundles" in path.parts)
    }


def build_wheel(scratch: Path) -> Path:
    """Build from a copy of the sources, since what earlier builds left there would be packed as well."""
    copy = scratch / "sources"
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", scratch, copy], scratch)
    (wheel,) = scratch.glob("*.whl")
    return wheel


def install_alone(wheel: Path, folder: Path) -> Path:
    """Return the interpreter of a new environment: the wheel, and this interpreter's other packages."""
    venv.create(folder, with_pip=False)
    windows = os.name == "nt"
    python = folder / ("Scripts/python.exe" if windows else "bin/python")
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
    run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], folder)
    inside = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip()
    # Path files that lie in a folder named by a path file are not read, so editable installations stay out.
    others = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(inside) / "others.pth").write_text("\n".join(sorted(others)) + "\n", encoding="utf-8")
    return python


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command in a folder, without the caller's Python path, and return what it printed.

    Raises:
        SystemExit: it failed; what it said is in the message.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
