import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from polyrestore.backbones import build_backbone
from polyrestore.backbones.flow import Flow
from polyrestore.errors import BackboneError
from polyrestore.restoration.tiling import run_tiled
from polyrestore.runtimes.torch import TorchRuntime
from tests.support.networks import TINY, random_image, tiny


def tiny_flow(**options: object) -> Flow:
    backbone = tiny("flow", TINY["flow"] | options)
    assert isinstance(backbone, Flow)
    return backbone


@settings(max_examples=20, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    shuffle=st.sampled_from([1, 2]),
    steps=st.integers(1, 2),
)
def test_size_in_is_size_out(height: int, width: int, shuffle: int, steps: int) -> None:
    backbone = tiny("flow", TINY["flow"] | {"shuffle": shuffle, "steps": steps})
    with torch.no_grad():
        restored = backbone(torch.rand(1, 3, height, width))
    assert restored.shape == (1, 3, height, width)
    assert torch.isfinite(restored).all()


@pytest.mark.parametrize("steps", [1, 2])
def test_tiles_equal_the_whole(steps: int) -> None:
    backbone = tiny("flow", TINY["flow"] | {"steps": steps})
    image = random_image(150, 170)
    with torch.no_grad():
        whole = backbone(image)
        assert float((run_tiled(TorchRuntime(backbone), image, tile_px=48) - whole).abs().max()) < 1e-5


def test_a_closed_veil_changes_nothing() -> None:
    closed, without = tiny_flow(veil_width=4), tiny_flow()
    closed.load_state_dict({**closed.state_dict(), **without.state_dict()})
    image = random_image(24, 32)
    with torch.no_grad():
        assert torch.equal(closed(image), without(image))


@pytest.mark.parametrize("steps", [1, 2])
def test_an_open_veil_is_taken_off_tiles_as_off_the_whole(steps: int) -> None:
    backbone = tiny_flow(veil_width=4, steps=steps)
    image = random_image(150, 170)
    with torch.no_grad():
        hazy = backbone(image)
        backbone.get_parameter("veil.gate.weight").fill_(1.0)
        whole = backbone(image)
        assert float((whole - hazy).abs().mean()) > 1e-3
        assert float((run_tiled(TorchRuntime(backbone), image, tile_px=48) - whole).abs().max()) < 1e-5


def test_one_step_goes_from_the_entry_to_the_end_of_the_path() -> None:
    backbone = tiny_flow(entry_time=0.7)
    torch.nn.init.zeros_(backbone.tone.linear.weight)
    torch.nn.init.zeros_(backbone.tone.linear.bias)
    image = torch.rand(2, 3, 16, 16) * 0.9 + 0.05
    state = 0.7 * (2 * image - 1)
    with torch.no_grad():
        end = state + 0.3 * backbone.velocity(state, torch.full((2,), 0.7))
        assert torch.allclose(backbone(image), (end + 1) / 2, atol=1e-6)


def test_the_time_decides_the_velocity_of_each_sample() -> None:
    backbone = tiny_flow()
    state = torch.randn(1, 3, 16, 16).expand(2, -1, -1, -1)
    with torch.no_grad():
        both = backbone.velocity(state, torch.tensor([0.2, 0.9]))
        late = backbone.velocity(state[:1], torch.tensor([0.9]))
    assert torch.allclose(both[1:], late, atol=1e-5)
    assert float((both[0] - both[1]).abs().max()) > 1e-3


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers how large the largest tensor is that an operation has given."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else (result,):
            self.numbers = max(self.numbers, each.numel() if isinstance(each, Tensor) else 0)
        return result


@pytest.mark.parametrize("veil_width", [0, 4])
def test_the_context_of_a_large_image_needs_no_copy_of_it(veil_width: int) -> None:
    flow = tiny_flow(veil_width=veil_width)
    if veil_width:
        torch.nn.init.ones_(flow.get_parameter("veil.gate.weight"))
    image = random_image(400, 500)
    with torch.inference_mode(), Largest() as seen:  # type: ignore[no-untyped-call]
        context = flow.context(image)
    assert 0 < seen.numbers < image.numel() / 3
    entered = flow.context_encoder((flow.entry_time * (2 * image - 1) + 1) / 2)
    assert torch.allclose(context[:, : entered.shape[1]], entered, atol=1e-5)


def test_generating_follows_the_velocity() -> None:
    class Straight(Flow):
        """Knows the way to one image: from a state x_t it is (x_1 - x_t) / (1 - t)."""

        def velocity(self, state: Tensor, time: Tensor) -> Tensor:
            return (target - state) / (1 - time[:, None, None, None])

    target = torch.rand(1, 3, 8, 8) * 2 - 1
    generated = Straight(**TINY["flow"]).generate(torch.randn(2, 3, 8, 8), steps=4)
    assert torch.allclose(generated, ((target + 1) / 2).expand(2, -1, -1, -1), atol=1e-5)


@pytest.mark.parametrize("options", [{"entry_time": 0.0}, {"entry_time": 1.0}, {"steps": 0}])
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(BackboneError, match="entry_time must be|steps must be a whole number from 1"):
        build_backbone("flow", **(TINY["flow"] | options))


def test_the_steps_can_be_chosen_afterwards() -> None:
    backbone, three = tiny_flow(), tiny_flow(steps=3)
    image = random_image(20, 24)
    with torch.no_grad():
        before = backbone(image)
        backbone.use_steps(3)
        assert torch.equal(backbone(image), three(image))
        assert not torch.equal(before, three(image))
    assert (backbone.options, backbone.description) == (three.options, three.description)
    with pytest.raises(BackboneError, match="steps must be at least 1"):
        backbone.use_steps(0)
