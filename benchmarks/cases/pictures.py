"""Cases about what becomes of pixels: nothing invented, nothing shifted, nothing taken away."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image as PILImage

import polyrestore
from benchmarks.cases.workplace import Case, Verdict, Workplace
from polyrestore.imaging import read_image

_LEFT_ALONE_DB = 40.0
_RIM_PX = 2


def levels(path: Path) -> NDArray[np.float64]:
    """Return the stored levels of a file that Pillow reads, without what lies under no alpha."""
    with PILImage.open(path) as opened:
        return np.asarray(opened).astype(np.float64)


def psnr(one: NDArray[np.float64], other: NDArray[np.float64], most: float = 255.0) -> float:
    """Return the peak signal-to-noise ratio in dB; infinite where nothing differs."""
    error = float(np.mean((one - other) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(most**2 / error))


def windows(values: NDArray[Any], side_px: int) -> NDArray[Any]:
    """Return the surroundings of each pixel of (H, W) as (H, W, side, side), edges repeated."""
    return sliding_window_view(np.pad(values, side_px // 2, mode="edge"), (side_px, side_px))


def left_alone(place: Workplace, name: str) -> Verdict:
    done = place.restore(name)
    if done.result.read_bytes() == (place.inputs / name).read_bytes():
        return Verdict(done.code == 0, "byte for byte")
    before, after = (read_image(path).pixels.double().numpy() for path in (place.inputs / name, done.result))
    found = psnr(before, after, 1.0)
    names = ", ".join(done.record["weights"])
    return Verdict(done.code == 0 and found > _LEFT_ALONE_DB, f"{found:.1f} dB ({names})")


def rim(place: Workplace, *options: str) -> Verdict:
    done = place.restore("cutout.png", *options)
    wanted, found = levels(place.inputs / "cutout-expected-colours.png"), levels(done.result)
    seen = found[:, :, 3] > 0
    inner = windows(seen, 2 * _RIM_PX + 1).all(axis=(2, 3))
    error = ((found[:, :, :3] - wanted[:, :, :3]) ** 2).mean(axis=2)
    at_rim, inside = (10 * np.log10(255**2 / error[where].mean()) for where in (seen & ~inner, inner))
    figures = f"rim {at_rim:.2f} dB, inside {inside:.2f} dB, {inside - at_rim:.2f} dB less (at most 1)"
    return Verdict(bool(inside - at_rim <= 1.0), figures)


def hidden_pixels(place: Workplace) -> Verdict:
    before = np.asarray(PILImage.open(place.inputs / "cutout.png"))
    other = before.copy()
    other[before[:, :, 3] == 0, :3] = (255, 0, 255)
    changed = place.room / "hidden.png"
    PILImage.fromarray(other).save(changed)
    first, second = place.restore("cutout.png"), place.restore(changed)
    seen = before[:, :, 3] > 0
    same = np.array_equal(levels(first.result)[seen], levels(second.result)[seen])
    alike = first.record["similarities"] == second.record["similarities"]
    return Verdict(same and alike, f"pixels the same: {same}, recognition the same: {alike}")


def stays_grey(place: Workplace, name: str, most: int) -> Verdict:
    done = place.restore(name)
    found = levels(done.result)
    if found.ndim == 2:
        return Verdict(True, "one channel")
    spread = int((found.max(axis=2) - found.min(axis=2)).max())
    return Verdict(spread <= most, f"largest difference of channels {spread}")


def named_microscopy(place: Workplace) -> Verdict:
    done = place.restore("micro12.tif", "--as", "noise")
    before, clean, after = (
        levels(path)
        for path in (place.inputs / "micro12.tif", place.inputs / "micro12_clean.tif", done.result)
    )
    was, now = (float(np.sqrt(np.mean((each - clean) ** 2))) for each in (before, after))
    ratio = float(after.mean() / before.mean())
    return Verdict(now < was and abs(ratio - 1) <= 0.01, f"RMS {was:.1f} -> {now:.1f}, mean x {ratio:.3f}")


def blind_microscopy(place: Workplace) -> Verdict:
    done = place.restore("micro12.tif")
    ratio = float(levels(done.result).mean() / levels(place.inputs / "micro12.tif").mean())
    told = bool(done.record["weights"])
    return Verdict(abs(ratio - 1) <= 0.01 or told, f"mean x {ratio:.3f}, {done.record['weights'] or 'clean'}")


def stars_stay(place: Workplace, name: str) -> Verdict:
    done = place.restore(name)
    before, after = (levels(path)[:, :, :3].mean(axis=2) for path in (place.inputs / name, done.result))
    background = np.median(windows(before, 15), axis=(2, 3))
    stars = (before == windows(before, 7).max(axis=(2, 3))) & (before - background > 40)
    flux, kept = (windows(each - background, 5).sum(axis=(2, 3))[stars] for each in (before, after))
    ratio = float(np.median(kept / flux))
    names = ", ".join(done.record["weights"]) or "clean"
    return Verdict(ratio > 0.9, f"{stars.sum()} stars, median ratio {ratio:.3f} ({names})")


def same_as_pillow(place: Workplace) -> Verdict:
    path = place.inputs / "phone-orientation6.jpg"
    restorer = polyrestore.load(place.bundle)
    by_path, by_pillow = restorer.restore(path), restorer.restore(PILImage.open(path))
    shapes = tuple(by_path.pixels.shape), tuple(by_pillow.pixels.shape)
    same = shapes[0] == shapes[1] == (3, 50, 80) and bool((by_path.pixels == by_pillow.pixels).all())
    return Verdict(same, f"{shapes[0]} and {shapes[1]}, same pixels: {same}")


CASES: dict[str, Case] = {
    f"{name} is left alone": Case(partial(left_alone, name=name), (name,), weights=True)
    for name in (
        "clean-page12.png",
        "clean-terminal_dark.png",
        "clean-ui.png",
        "clean-chart.png",
        "clean-cartoon.png",
        "clean-code1bit.png",
        "clean-halftone.png",
    )
} | {
    "cutout.png, rim, blind": Case(rim, ("cutout.png", "cutout-expected-colours.png")),
    "cutout.png, rim, --as noise": Case(
        lambda place: rim(place, "--as", "noise"), ("cutout.png", "cutout-expected-colours.png")
    ),
    "cutout.png, what lies under alpha 0": Case(hidden_pixels, ("cutout.png",)),
    "grey-as-rgb-dark.png": Case(partial(stays_grey, name="grey-as-rgb-dark.png", most=0)),
    "grey-as-rgb-haze.png": Case(partial(stays_grey, name="grey-as-rgb-haze.png", most=0)),
    "grey-as-rgb-q15.jpg": Case(partial(stays_grey, name="grey-as-rgb-q15.jpg", most=2)),
    "micro12.tif, --as noise": Case(named_microscopy, ("micro12.tif", "micro12_clean.tif"), weights=True),
    "micro12.tif, blind": Case(blind_microscopy, ("micro12.tif",), weights=True),
    "astro-stretched.png": Case(partial(stars_stay, name="astro-stretched.png"), weights=True),
    "hubble-crop.jpg": Case(partial(stars_stay, name="hubble-crop.jpg"), weights=True),
    "phone-orientation6.jpg": Case(same_as_pillow),
}
