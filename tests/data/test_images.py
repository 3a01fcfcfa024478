from pathlib import Path

import pytest
import torch
from PIL import Image

from polyrestore.data import Pair, align_pair, load_burst, load_clean, load_pairs
from polyrestore.data.images import image_paths, random_patch
from polyrestore.errors import DataError


def save(path: Path, value: int, size: tuple[int, int] = (12, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def test_clean_images_are_bytes(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 200)
    (image,) = load_clean([tmp_path])
    assert image.dtype == torch.uint8
    assert image.shape == (3, 10, 12)
    assert int(image.float().mean()) == 200


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    """Another process may be writing an image under a hidden name, and macOS leaves some beside each file."""
    save(tmp_path / "a.png", 200)
    for name in (".part-3b5ac667.png", "._a.png"):
        (tmp_path / name).write_bytes(b"\x89PNG")
    assert [path.name for path in image_paths(tmp_path)] == ["a.png"]


def test_pairs_match_by_stem(tmp_path: Path) -> None:
    save(tmp_path / "input" / "x.png", 10)
    save(tmp_path / "target" / "x.bmp", 20)
    (pair,) = load_pairs(tmp_path)
    assert (pair.name, int(pair.degraded.max()), int(pair.clean.max())) == ("x", 10, 20)


def test_files_without_a_partner_are_named(tmp_path: Path) -> None:
    save(tmp_path / "input" / "x.png", 10)
    save(tmp_path / "input" / "lonely.png", 10)
    save(tmp_path / "target" / "x.png", 20)
    with pytest.raises(DataError, match="lonely"):
        load_pairs(tmp_path)


def test_pairs_of_different_size_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "input" / "x.png", 10)
    save(tmp_path / "target" / "x.png", 20, size=(9, 10))
    with pytest.raises(DataError, match="differ in size"):
        load_pairs(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        load_clean([tmp_path])


def test_aligning_undoes_a_shift() -> None:
    scene = torch.randint(0, 256, (3, 60, 70), generator=torch.Generator().manual_seed(1)).byte()
    pair = align_pair(Pair("p", scene.roll((3, -2), (1, 2)), scene))
    assert torch.equal(pair.degraded, pair.clean)
    assert pair.clean.shape == (3, 48, 58)


def test_a_burst_averages_around_its_middle_frame(tmp_path: Path) -> None:
    for index in range(5):
        save(tmp_path / f"b_{index:03}.png", 40 * index)
    pairs = load_burst(tmp_path)
    assert [pair.name for pair in pairs] == ["b-3", "b-5"]
    for pair in pairs:
        assert int(pair.clean.max()) == 80
        assert int(pair.degraded.max()) == 80


@pytest.mark.parametrize("size", [(8, 8), (40, 17), (100, 130)])
def test_patches_of_a_pair_show_the_same_place(size: tuple[int, int]) -> None:
    image = torch.randint(0, 256, (3, *size), generator=torch.Generator().manual_seed(0)).byte()
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        patches = random_patch([image, image], 16, 3.0, generator)
        assert patches.shape == (2, 3, 16, 16)
        assert torch.equal(patches[0], patches[1])
        assert 0 <= float(patches.min()) <= float(patches.max()) <= 1


def test_enlarged_patches_are_softer_and_leave_the_others_as_they_are() -> None:
    image = torch.randint(0, 256, (3, 100, 130), generator=torch.Generator().manual_seed(0)).byte()
    softer = 0
    for seed in range(40):
        plain, enlarged = (
            random_patch([image], 32, 2.0, torch.Generator().manual_seed(seed), zoom_in)
            for zoom_in in (1.0, 3.0)
        )
        assert enlarged.shape == (1, 3, 32, 32)
        if not torch.equal(plain, enlarged):
            steps = [float((patch[..., 1:] - patch[..., :-1]).abs().mean()) for patch in (plain, enlarged)]
            assert steps[1] < steps[0]
            softer += 1
    assert 4 <= softer <= 18
