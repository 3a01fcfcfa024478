"""Tiny folders laid out as the published sets are."""

from pathlib import Path

import torch
from PIL import Image

SIZE = (20, 16)


def photograph(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Smooth colours of a given width and height, different for every seed."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((1, 3, 5, 5), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=size[::-1], mode="bicubic").clamp(0, 1)
    return Image.fromarray((smooth[0].permute(1, 2, 0) * 255).round().byte().numpy())


def plant(root: Path, *names: str, size: tuple[int, int] = SIZE) -> Path:
    """Write an image for each path; an image's content depends on its name alone."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph(sum(map(ord, name)), size).save(path)
    return root


CDD_FOLDERS = (
    "low", "haze", "rain", "snow", "low_haze", "low_rain", "low_snow", "haze_rain", "haze_snow",
    "low_haze_rain", "low_haze_snow",
)  # fmt: skip
DACLIP_FOLDERS = (
    "motion-blurry", "hazy", "jpeg-compressed", "low-light", "noisy", "raindrop", "rainy", "shadowed",
    "snowy", "uncompleted",
)  # fmt: skip

# layout, files, and what is to be found: (split, task) -> number of samples
TREES: dict[str, tuple[str, tuple[str, ...], dict[tuple[str, str], int]]] = {
    "AllWeather": (
        "allweather",
        (
            "input/a_00003.jpg", "input/im_0001_s80_a04.png", "input/0_rain.png", "input/im_0002_s85_a05.png",
            "gt/a_00003.jpg", "gt/im_0001.png", "gt/0_clean.png", "gt/im_0002_s85_a05.png",
        ),
        {("train", "snow"): 1, ("train", "rain"): 2, ("train", "raindrop"): 1},
    ),
    "OutdoorRain": (
        "outdoor_rain",
        ("test/data/im_0601_s80_a04.png", "test/data/im_0601_s85_a04.png", "test/gt/im_0601.png"),
        {("test", "rain"): 2},
    ),
    "RainDrop": (
        "raindrop",
        (
            "train/data/0_rain.png", "train/data/1_rain.png", "train/gt/0_clean.png", "train/gt/1_clean.png",
            "test_a/data/0_rain.png", "test_a/gt/0_clean.png",
        ),
        {("train", "raindrop"): 2, ("test", "raindrop"): 1},
    ),
    "Rain100L": (
        "rain100",
        ("rainy/rain-001.png", "rainy/rain-002.png", "norain-001.png", "norain-002.png"),
        {("test", "rain"): 2},
    ),
    "RainTrainH": (
        "rain100", ("rain-1.png", "norain-1.png", "rain-2.png", "norain-2.png"), {("train", "rain"): 2},
    ),
    "rain_data_train_Light": (
        "rain100", ("rain/norain-1x2.png", "norain/norain-1.png"), {("train", "rain"): 1},
    ),
    "Derain": ("rain100", ("rainy/rain-1.png", "gt/norain-1.png"), {("all", "rain"): 1}),
    "Snow100K": (
        "snow100k",
        (
            "training/synthetic/a.jpg", "training/gt/a.jpg", "training/mask/a.jpg",
            "testing/Snow100K-S/synthetic/b.jpg", "testing/Snow100K-S/gt/b.jpg",
            "testing/Snow100K-M/synthetic/c.jpg", "testing/Snow100K-M/gt/c.jpg",
            "testing/Snow100K-L/synthetic/d.jpg", "testing/Snow100K-L/gt/d.jpg",
        ),
        {("train", "snow"): 1, ("test", "snow"): 3},
    ),
    "SOTS": (
        "reside",
        (
            "indoor/hazy/1400_1.png", "indoor/hazy/1400_2.png", "indoor/hazy/1401_1.png",
            "indoor/gt/1400.png", "indoor/gt/1401.png",
            "outdoor/hazy/0001_0.8_0.2.jpg", "outdoor/clear/0001.png",
        ),
        {("test", "haze"): 4},
    ),
    "OTS": (
        "reside",
        ("hazy/part1/0005_0.8_0.04.jpg", "hazy/part2/0005_1_0.2.jpg", "clear/clear_images/0005.jpg"),
        {("train", "haze"): 2},
    ),
    "ITS": ("reside", ("hazy/1_1_0.90179.png", "clear/1.png", "clear/2.png"), {("train", "haze"): 1}),
    "Dehaze": (
        "reside", ("synthetic/0005_0.8_0.04.jpg", "original/0005.jpg"), {("all", "haze"): 1},
    ),
    "dehaze": ("reside", ("input/0001_0.8_0.2.jpg", "target/0001.png"), {("all", "haze"): 1}),
    "LOL": (
        "lol",
        ("our485/low/2.png", "our485/high/2.png", "eval15/low/1.png", "eval15/high/1.png"),
        {("train", "low_light"): 1, ("test", "low_light"): 1},
    ),
    "LOL-v2": (
        "lol",
        (
            "Real_captured/Train/Low/low00001.png", "Real_captured/Train/Normal/normal00001.png",
            "Synthetic/Test/Low/r1.png", "Synthetic/Test/Normal/r1.png",
        ),
        {("train", "low_light"): 1, ("test", "low_light"): 1},
    ),
    "GoPro": (
        "gopro",
        (
            "train/GOPR0372/blur/1.png", "train/GOPR0372/sharp/1.png", "train/GOPR0372/blur_gamma/1.png",
            "train/GOPR0374/blur/1.png", "train/GOPR0374/sharp/1.png",
            "test/GOPR0384/blur/1.png", "test/GOPR0384/sharp/1.png",
        ),
        {("train", "motion_blur"): 2, ("test", "motion_blur"): 1},
    ),
    "CDD-11_train": (
        "cdd11",
        tuple(f"{folder}/0{n}.png" for folder in ("clear", *CDD_FOLDERS) for n in (1, 2)),
        {
            ("train", task): 2
            for task in (
                "low_light", "haze", "rain", "snow", "low_light+haze", "low_light+rain", "low_light+snow",
                "haze+rain", "haze+snow", "low_light+haze+rain", "low_light+haze+snow",
            )
        },
    ),
    "universal": (
        "daclip",
        tuple(
            f"{split}/{folder}/{side}/1.png"
            for split in ("train", "val") for folder in DACLIP_FOLDERS for side in ("LQ", "GT")
        ),
        {
            (split, task): 1
            for split in ("train", "validation")
            for task in (
                "motion_blur", "haze", "jpeg", "low_light", "noise", "raindrop", "rain", "shadow", "snow",
                "missing_pixels",
            )
        },
    ),
    "nameless": ("pairs", ("input/a_1.png", "gt/a_1.png"), {("all", ""): 1}),
    "own": ("pairs", ("input/a.png", "target/a.bmp"), {("all", ""): 1}),
    "BSD400": ("clean", ("1.jpg", "2.jpg"), {("all", ""): 2}),
    "DIV2K": (
        "clean",
        ("DIV2K_train_HR/0001.png", "DIV2K_valid_HR/0801.png"),
        {("train", ""): 1, ("validation", ""): 1},
    ),
}  # fmt: skip
