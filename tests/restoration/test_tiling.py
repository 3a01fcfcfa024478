from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrestore.devices import is_out_of_memory
from polyrestore.errors import BackboneError, DeviceMemoryError
from polyrestore.restoration.tiling import SMALLEST_TILE_PX, plan_tiles, run_tiled
from polyrestore.runtimes import base
from polyrestore.runtimes.torch import TorchRuntime
from tests.support.tiny_backbone import MULTIPLE, TinyBackbone, tiny_backbone

TOLERANCE = 1e-5


def random_image(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile_px=st.integers(1, 100),
    padding=st.sampled_from(["replicate", "reflect"]),
    minimum_size_px=st.sampled_from([1, 16, 21]),
)
def test_tiled_equals_untiled_for_any_size(
    height: int, width: int, tile_px: int, padding: str, minimum_size_px: int
) -> None:
    backbone = tiny_backbone(padding=padding, minimum_size_px=minimum_size_px)
    image = random_image(height, width)
    whole = backbone(image)
    tiled = run_tiled(TorchRuntime(backbone), image, tile_px)
    assert tiled.shape == image.shape
    torch.testing.assert_close(tiled, whole, atol=TOLERANCE, rtol=0)


def test_the_comparison_would_notice_a_halo_that_is_too_small() -> None:
    backbone = tiny_backbone()
    object.__setattr__(backbone.description, "receptive_radius_px", 0)
    image = random_image(64, 64)
    assert (run_tiled(TorchRuntime(backbone), image, 16) - backbone(image)).abs().max() > 1 / 255


def test_context_is_computed_once_on_the_whole_image() -> None:
    sizes = []

    class Watched(TinyBackbone):
        def context(self, image: torch.Tensor) -> torch.Tensor:
            sizes.append(tuple(image.shape[-2:]))
            return super().context(image)

    run_tiled(TorchRuntime(Watched().eval().requires_grad_(False)), random_image(50, 70), 16)
    assert sizes == [(50, 70)]


@settings(deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    tile_px=st.integers(1, 300),
    overlap_px=st.integers(0, 60),
    multiple=st.sampled_from([1, 2, 4, 8, 16]),
    minimum_px=st.sampled_from([1, 7, 64]),
)
def test_cores_cover_each_pixel_once_and_reads_lie_on_the_grid(
    height: int, width: int, tile_px: int, overlap_px: int, multiple: int, minimum_px: int
) -> None:
    covered = torch.zeros(height, width, dtype=torch.int32)
    for tile in plan_tiles(height, width, tile_px, overlap_px, multiple, minimum_px):
        rows, columns = tile.rows, tile.columns
        covered[rows.core_start : rows.core_stop, columns.core_start : columns.core_stop] += 1
        for span, length in ((rows, height), (columns, width)):
            assert span.read_start % multiple == 0
            assert span.read_stop % multiple == 0 or span.read_stop == length
            assert 0 <= span.read_start <= span.core_start < span.core_stop <= span.read_stop <= length
            assert span.core_start - span.read_start >= min(overlap_px, span.core_start)
            assert span.read_stop - span.core_stop >= min(overlap_px, length - span.core_stop)
            assert span.read_stop - span.read_start >= min(minimum_px, length)
            assert span.core_stop - span.core_start <= max(tile_px, multiple)
    assert bool((covered == 1).all())


@settings(deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    tile_px=st.integers(1, 300),
    overlap_px=st.integers(0, 60),
    multiple=st.sampled_from([1, 2, 4, 8, 16]),
    minimum_px=st.sampled_from([1, 7, 64]),
)
def test_equal_tiles_have_one_size_and_cover_the_image(
    height: int, width: int, tile_px: int, overlap_px: int, multiple: int, minimum_px: int
) -> None:
    covered = torch.zeros(height, width, dtype=torch.int32)
    sizes = set()
    for tile in plan_tiles(height, width, tile_px, overlap_px, multiple, minimum_px, equal=True):
        rows, columns = tile.rows, tile.columns
        covered[rows.core_start : rows.core_stop, columns.core_start : columns.core_stop] += 1
        sizes.add((rows.read_stop - rows.read_start, columns.read_stop - columns.read_start))
        for span, length in ((rows, height), (columns, width)):
            padded = -(-max(length, minimum_px) // multiple) * multiple
            assert span.read_start % multiple == span.read_stop % multiple == 0
            assert 0 <= span.read_start <= span.core_start < span.core_stop <= span.read_stop <= padded
            assert span.core_start - span.read_start >= min(overlap_px, span.core_start)
            assert span.read_stop - span.core_stop >= min(overlap_px, length - span.core_stop)
            assert span.read_stop - span.read_start >= min(minimum_px, padded)
    assert len(sizes) == 1
    assert bool((covered == 1).all())


class FixedShapes(TorchRuntime):
    """A runtime that is compiled for the first shape that it sees of an image."""

    equal_tiles = True

    def __init__(self, backbone: TinyBackbone) -> None:
        super().__init__(backbone)
        self.shapes: set[tuple[int, ...]] = set()

    def run(
        self, tile: torch.Tensor, context: torch.Tensor | None, *, in_float32: bool = False
    ) -> torch.Tensor:
        assert all(size % MULTIPLE == 0 for size in tile.shape[-2:])
        self.shapes.add(tuple(tile.shape))
        return super().run(tile, context, in_float32=in_float32)


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 130),
    width=st.integers(1, 130),
    tile_px=st.integers(1, 100),
    padding=st.sampled_from(["replicate", "reflect"]),
    minimum_size_px=st.sampled_from([1, 16, 21]),
    exact=st.booleans(),
)
def test_equal_tiles_give_the_whole_as_well(
    height: int, width: int, tile_px: int, padding: str, minimum_size_px: int, exact: bool
) -> None:
    backbone = tiny_backbone(padding=padding, minimum_size_px=minimum_size_px)
    radius = backbone.description.receptive_radius_px
    if not exact:
        # Blended tiles of a local network are wrong near their edges only, where they count little.
        object.__setattr__(backbone.description, "exact_tiles", False)
        object.__setattr__(backbone.description, "receptive_radius_px", 4 * radius)
    image = random_image(height, width)
    runtime = FixedShapes(backbone)
    tiled, whole = run_tiled(runtime, image, tile_px), backbone(image)
    assert len(runtime.shapes) == 1
    assert tiled.shape == image.shape
    if exact:
        torch.testing.assert_close(tiled, whole, atol=TOLERANCE, rtol=0)
    else:
        assert (tiled - whole).abs().mean() < 0.03


@pytest.mark.parametrize("sizes", [(0, 5, 8, 0, 1), (5, 5, 0, 0, 1), (5, 5, 8, -1, 1), (5, 5, 8, 0, 0)])
def test_plan_refuses_sizes_that_make_no_sense(sizes: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        plan_tiles(*sizes)


class ShortOfMemory(TinyBackbone):
    """Runs out of memory above a number of pixels, the way a CPU's allocator does."""

    def __init__(self, limit_px: int, error: type[Exception] = RuntimeError) -> None:
        super().__init__()
        self.limit_px = limit_px
        self.error = error

    def forward(self, image: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        if image.shape[-1] * image.shape[-2] > self.limit_px:
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return super().forward(image, context)


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, torch.OutOfMemoryError])
def test_out_of_memory_halves_the_tile(error: type[Exception]) -> None:
    backbone = ShortOfMemory(limit_px=80 * 80, error=error).eval().requires_grad_(False)
    image = random_image(150, 130)
    restored = run_tiled(TorchRuntime(backbone), image, 512)
    backbone.limit_px = 10**9
    torch.testing.assert_close(restored, backbone(image), atol=TOLERANCE, rtol=0)


def test_too_little_memory_for_the_smallest_tile_is_said() -> None:
    backbone = ShortOfMemory(limit_px=MULTIPLE).eval().requires_grad_(False)
    message = f"not enough memory .* 130x150 px, even in tiles of {SMALLEST_TILE_PX}"
    with pytest.raises(DeviceMemoryError, match=message):
        run_tiled(TorchRuntime(backbone), random_image(150, 130), 512)


def test_other_runtime_errors_are_not_taken_for_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))

    class Broken(TinyBackbone):
        def forward(self, image: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
            raise RuntimeError("a tile went wrong")

    with pytest.raises(RuntimeError, match="a tile went wrong"):
        run_tiled(TorchRuntime(Broken()), random_image(40, 40), 16)


class Overflowing(TinyBackbone):
    """Gives infinity under autocast, and in float32 as well if told so."""

    always = False

    def forward(self, image: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        restored = super().forward(image, context)
        if self.always or torch.is_autocast_enabled("cpu"):
            restored[..., 0, 0] = float("inf")
        return restored


@pytest.fixture
def _half_precision_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "computes_fast_in", lambda dtype, device: True)


@pytest.mark.usefixtures("_half_precision_is_fast")
def test_a_tile_that_is_not_finite_is_computed_again_in_float32() -> None:
    backbone = Overflowing().eval().requires_grad_(False)
    image = random_image(40, 52)
    restored = run_tiled(TorchRuntime(backbone, precision="bfloat16"), image, 16)
    torch.testing.assert_close(restored, backbone(image), atol=TOLERANCE, rtol=0)


@pytest.mark.usefixtures("_half_precision_is_fast")
def test_a_tile_that_is_not_finite_in_float32_is_an_error() -> None:
    backbone = Overflowing().eval().requires_grad_(False)
    backbone.always = True
    with pytest.raises(BackboneError, match="not finite for the tile at row 0, column 0"):
        run_tiled(TorchRuntime(backbone, precision="bfloat16"), random_image(40, 52), 16)


class SeesItsTile(TinyBackbone):
    """Brightens an image by the mean of the tile that it sees, as a network with attention may."""

    def forward(self, image: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        return image + image.mean(dim=(1, 2, 3), keepdim=True)


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 90), width=st.integers(1, 90), tile_px=st.integers(16, 100))
def test_tiles_that_differ_are_blended_without_a_step(height: int, width: int, tile_px: int) -> None:
    backbone = SeesItsTile().eval()
    object.__setattr__(backbone.description, "exact_tiles", False)
    radius = backbone.description.receptive_radius_px
    image = (torch.linspace(0, 0.5, height)[:, None] + torch.linspace(0, 0.5, width)).expand(1, 3, -1, -1)
    added = run_tiled(TorchRuntime(backbone), image, tile_px) - image
    # From one tile to the next the weights change over twice the halo, or once it where the image ends;
    # no step is larger than the range of means shared out over it.
    steepest = float(added.max() - added.min()) / radius + TOLERANCE
    assert float(added.min()) >= -TOLERANCE
    for axis in (-1, -2):
        if added.shape[axis] > 1:
            assert float(added.diff(dim=axis).abs().max()) <= steepest


def test_one_tile_of_a_network_that_sees_it_whole_is_the_whole() -> None:
    backbone = tiny_backbone()
    object.__setattr__(backbone.description, "exact_tiles", False)
    image = random_image(40, 52)
    assert torch.equal(run_tiled(TorchRuntime(backbone), image, 64), backbone(image))


def test_blended_tiles_of_a_local_network_are_near_the_whole() -> None:
    # Only what is within its reach of a tile's edge is wrong, and that counts an eighth at most there.
    backbone = tiny_backbone()
    radius = backbone.description.receptive_radius_px
    object.__setattr__(backbone.description, "exact_tiles", False)
    object.__setattr__(backbone.description, "receptive_radius_px", 4 * radius)
    image = random_image(150, 130)
    tiled = run_tiled(TorchRuntime(backbone), image, 64)
    assert (tiled - backbone(image)).abs().mean() < 0.01
