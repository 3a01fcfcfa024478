"""Cases about formats and what lies beside the pixels: kept, told, or refused for its true reason."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from benchmarks.cases.workplace import Case, Outcome, Verdict, Workplace, is_one_line, shown_error
from polyrestore.imaging import read_image
from polyrestore.imaging.metadata.png import split_png


def restored(done: Outcome) -> bool:
    """Say whether the only file was restored to something that can be read to its end."""
    if done.code != 0 or done.record["status"] != "restored":
        return False
    read_image(done.result)
    return True


def plainly(place: Workplace, name: str, code: str | None = None) -> Verdict:
    """Expect a result, and a note where a code is given."""
    done = place.restore(name, "--as", "noise")
    noted = code is None or code in done.codes
    return Verdict(restored(done) and noted, f"restored, notes: {', '.join(done.codes) or 'none'}")


def long_name(place: Workplace, stem: str) -> Verdict:
    folder = place.new_folder()
    folder.mkdir()
    name = f"{stem}.jpg"
    shutil.copy(place.inputs / "for-a-long-name.jpg", folder / name)
    done = place.restore(folder, "--as", "noise")
    size = len(name.encode())
    return Verdict(done.code == 0 and done.result.name == name, f"{size} bytes: exit {done.code}")


def colour_chunks(place: Workplace, name: str) -> Verdict:
    done = place.restore(name, "--as", "noise")
    kinds = (b"gAMA", b"cHRM", b"sRGB", b"cICP")

    def found(path: Path) -> dict[bytes, bytes]:
        return {
            chunk.kind: chunk.data for chunk in split_png(path.read_bytes()).chunks if chunk.kind in kinds
        }

    before, after = found(place.inputs / name), found(done.result)
    names = b", ".join(sorted(before)).decode()
    return Verdict(restored(done) and bool(before) and before == after, f"{names} kept: {before == after}")


def iptc(place: Workplace) -> Verdict:
    done = place.restore("iptc.jpg", "--as", "noise")

    def block(path: Path) -> object:
        with PILImage.open(path) as opened:
            return opened.info.get("photoshop", {}).get(0x0404)

    kept = block(done.result) == block(place.inputs / "iptc.jpg")
    return Verdict(restored(done) and (kept or "parts_lost" in done.codes), f"IPTC kept: {kept}")


def heic_folder(place: Workplace) -> Verdict:
    done = place.restore("heic-folder", "--as", "noise")
    told = "left out" in done.said or any("HEIC" in (each["error"] or "") for each in done.records)
    taken = any(each["input"].endswith(".HEIC") for each in done.records)
    lines = [line for line in done.said.splitlines() if "IMG_0001" in line or "left out" in line]
    shown = next((line.strip() for line in lines if "error" in line or "left" in line), done.last_line())
    return Verdict(told or taken, f"exit {done.code}: {shown[:120]}")


def odd_tiff(place: Workplace, name: str) -> Verdict:
    import tifffile

    done = place.restore(name, "--as", "noise")
    before, after = tifffile.imread(place.inputs / name), tifffile.imread(done.result)
    same = before.shape == after.shape and before.dtype == after.dtype
    ratio = float(np.mean(after, dtype=np.float64) / np.mean(before, dtype=np.float64))
    return Verdict(restored(done) and same, f"{after.dtype} {after.shape}, mean x {ratio:.3f}")


def large_scan(place: Workplace) -> Verdict:
    done = place.restore("scan-192MP-1bit.png")
    return Verdict(done.code == 1 and is_one_line(done.said, "--max-megapixels"), shown_error(done.said))


def large_header(place: Workplace) -> Verdict:
    done = place.process(
        "restore", place.inputs / "header-13000x13000-16bit.png", "-o", place.new_folder(),
        "--bundle", place.bundle,
    )  # fmt: skip
    out, err = done.communicate(timeout=300)
    one = is_one_line(out + err) and "Warning" not in err
    return Verdict(done.returncode == 1 and one, shown_error(err))


def several_pictures(place: Workplace, name: str) -> Verdict:
    done = place.restore(name, "--as", "noise")
    with PILImage.open(place.inputs / name) as before, PILImage.open(done.result) as after:
        counts = getattr(before, "n_frames", 1), getattr(after, "n_frames", 1)
        changed = 0
        for number in range(counts[0]):
            before.seek(number)
            after.seek(number)
            changed += not np.array_equal(np.asarray(before.convert("RGB")), np.asarray(after.convert("RGB")))
    return Verdict(restored(done) and counts[0] == counts[1] == changed, f"{changed} of {counts[0]} restored")


def avif_folder(place: Workplace) -> Verdict:
    folder = place.new_folder()
    folder.mkdir()
    shutil.copy(place.inputs / "photo.avif", folder)
    shutil.copy(place.inputs / "clean-cartoon.png", folder)
    done = place.restore(folder, "--as", "noise")
    results = sorted(Path(each["output"] or "").name for each in done.records)
    return Verdict(done.code == 0 and results == ["clean-cartoon.png", "photo.avif"], ", ".join(results))


CASES: dict[str, Case] = {
    "for-a-long-name.jpg, 251 + 4 bytes": Case(partial(long_name, stem="a" * 251), ("for-a-long-name.jpg",)),
    "for-a-long-name.jpg, 241 bytes": Case(partial(long_name, stem="a" * 237), ("for-a-long-name.jpg",)),
    "for-a-long-name.jpg, 82 letters of 3 bytes": Case(
        partial(long_name, stem="\u6f22" * 82), ("for-a-long-name.jpg",)
    ),
    "png-text-2MB.png": Case(partial(plainly, name="png-text-2MB.png")),
    "png-bad-crc-in-text.png": Case(partial(plainly, name="png-bad-crc-in-text.png")),
    "jpeg-without-eoi.jpg": Case(partial(plainly, name="jpeg-without-eoi.jpg", code="end_missing")),
    "png-gama-linear.png": Case(partial(colour_chunks, name="png-gama-linear.png")),
    "png-cicp-p3.png": Case(partial(colour_chunks, name="png-cicp-p3.png")),
    "iptc.jpg": Case(iptc),
    "heic-folder": Case(heic_folder),
    "grey16-2channels.tif": Case(partial(odd_tiff, name="grey16-2channels.tif")),
    "float32-grey.tif": Case(partial(odd_tiff, name="float32-grey.tif")),
    "float32-rgb.tif": Case(partial(odd_tiff, name="float32-rgb.tif")),
    "scan-192MP-1bit.png": Case(large_scan),
    "header-13000x13000-16bit.png": Case(large_header),
    "three-pages.tif": Case(partial(several_pictures, name="three-pages.tif")),
    "three-frames.webp": Case(partial(several_pictures, name="three-frames.webp")),
    "photo.avif beside a PNG": Case(avif_folder, ("photo.avif", "clean-cartoon.png")),
}
