"""What is true of a network passes, and each thing that is not is told in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyrestore.backbones import BACKBONES, Backbone, BackboneDescription
from polyrestore.errors import PolyrestoreError, UnknownNameError
from polyrestore.testing import ContractError, check_backbone


# The larger ones are held to the same in tests/backbones/test_published.py.
@pytest.mark.parametrize("name", ["compact", "flow", "nafnet", "unet"])
def test_the_packages_own_pass(name: str) -> None:
    before = torch.get_rng_state()
    check_backbone(name)
    assert torch.equal(torch.get_rng_state(), before)


class Plain(Backbone):
    """Three 3x3 convolutions with an input residual."""

    def __init__(self, width: int = 4, **facts: Any) -> None:
        super().__init__()
        self.options: dict[str, object] = {"width": width}
        self.description = replace(BackboneDescription("plain", 1, 1, 2, False), **facts)
        self.beginning, self.ending = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)

    def output_layer(self) -> nn.Conv2d:
        return self.ending

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        restored: Tensor = image + self.ending(torch.tanh(self.beginning(image)))
        return restored


class InPlace(Plain):
    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        return image.mul_(0.5)


class Smaller(Plain):
    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        return super().forward(image)[..., 1:]


class OneChannel(Plain):
    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        return super().forward(image)[:, :1]


class Endless(Plain):
    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        return super().forward(image) / 0


class Chancy(Plain):
    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        return super().forward(image) + torch.rand(())


class Sociable(Plain):
    """Subtracts the mean of all images of the batch."""

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        return super().forward(image) - image.mean()


class Levelled(Plain):
    """Subtracts each image's mean and does not say that it needs the whole image for it."""

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        return super().forward(image) - image.mean((2, 3), keepdim=True)


class Forgetful(Plain):
    """Has a number beside its state dict."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.offset = torch.rand(())

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        return super().forward(image) + self.offset


class Counting(Plain):
    """Restores differently the second time."""

    calls = 0

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        self.calls += 1
        return super().forward(image) * (1 + 0.1 * (self.calls % 2))


class Wider(Plain):
    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.options = {"width": width + 1}


class Unwritable(Plain):
    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.options = {"width": torch.tensor(width)}


class Endingless(Plain):
    def output_layer(self) -> nn.Conv2d:
        return nn.Conv2d(4, 3, 3)


class Unadaptable(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.options = {}
        self.beginning = nn.Conv2d(3, 4, 5, padding=2)
        self.ending = nn.Conv2d(4, 3, 5, padding=2)


class OddContext(Plain):
    def context(self, image: Tensor) -> Tensor:
        return image.new_ones(1, len(image))


class Coarse(Plain):
    """Names a format in which it cannot compute: its values are lost in that of a large number."""

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        far = self.beginning(image) + 1e3
        restored: Tensor = image + self.ending(far - far.mean((1, 2, 3), keepdim=True).detach() * 0 - 1e3)
        return restored


def test_a_true_description_passes() -> None:
    check_backbone(Plain)
    check_backbone(lambda width: Plain(width), {"width": 8})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Identity(), "Identity is no subclass of Backbone"),
        (lambda **options: Plain(**options, size_multiple=0), "size_multiple must be a whole number"),
        (lambda **options: Plain(**options, dtypes=()), "dtypes must name torch.float32"),
        (lambda **options: Plain(**options, receptive_radius_px=1), "reaches 2 px along a row, further than"),
        (
            lambda **options: Plain(**options, global_context=False, minimum_size_px=2.5),
            "minimum_size_px must",
        ),
        (InPlace, "changes its input"),
        (Smaller, r"must come back as \(1, 3, \d, \d\), not"),
        (OneChannel, "must come back as"),
        (Endless, "not finite"),
        (Chancy, "global generator"),
        (Sociable, "depends on the others in its batch"),
        (Levelled, "reaches . px along a row"),
        (Forgetful, "not in its state dict"),
        (Counting, "differently the second time"),
        (Wider, "another network"),
        (Unwritable, "cannot be written to model.json"),
        (Endingless, "output_layer"),
        (Unadaptable, "no layer can have a LoRA"),
        (OddContext, "context"),
        (lambda **options: Coarse(**options, dtypes=(torch.float32, torch.bfloat16)), "more than 1/255"),
    ],
)
def test_what_is_not_true_is_told(build: Callable[..., Backbone], message: str) -> None:
    with pytest.raises(ContractError, match=message) as caught:
        check_backbone(build)
    assert isinstance(caught.value, AssertionError)
    assert isinstance(caught.value, PolyrestoreError)
    assert "\n" not in str(caught.value)


def test_a_name_must_be_known_and_be_the_networks_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'compact'"):
        check_backbone("compakt")
    monkeypatch.setitem(BACKBONES, "fast", Plain)
    with pytest.raises(ContractError, match="name is 'plain', but it is registered as 'fast'"):
        check_backbone("fast")
