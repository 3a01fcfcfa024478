"""Every backbone is recognised by its published names, at full size and tiny, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polyrestore.backbones import Backbone, build_backbone
from polyrestore.backbones.detection import detect_backbone
from polyrestore.backbones.shapes import Shapes, shortest_factor
from polyrestore.errors import BackboneError, CheckpointError
from tests.support.networks import PUBLISHED, TINY

# Under the options that no shape tells, tiny networks have other values than the published ones.
UNTOLD = {"transweather": ("heads", "decoder_heads")}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in PUBLISHED),
    *((name, TINY[name]) for name in PUBLISHED),
    ("restormer", {"norm_bias": False}),
    ("restormer", {"dim": 24}),
    ("restormer", {"norm_bias": False, "colours": 1}),
    ("restormer", TINY["restormer"] | {"conv_bias": True, "expansion": 3.0}),
    ("nafnet", {"width": 64}),
    ("nafnet", {"encoder_blocks": (2, 2, 4, 8), "middle_blocks": 12, "decoder_blocks": (2, 2, 2, 2)}),
    ("airnet", {"queue_length": 256 * 5}),
    ("compact", {"shuffle": 2, "width": 16}),
    ("compact", TINY["compact"] | {"veil_width": 4}),
    ("promptir", TINY["promptir"] | {"blocks": (2, 1, 3, 1), "norm_bias": False}),
]


def shapes_of(name: str, options: dict[str, object]) -> tuple[Backbone, dict[str, tuple[int, ...]]]:
    with torch.device("meta"):
        backbone = build_backbone(name, **options)
    return backbone, {key: tuple(value.shape) for key, value in backbone.state_dict().items()}


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_all_options_are_recovered(name: str, options: dict[str, Any]) -> None:
    backbone, shapes = shapes_of(name, options)
    untold = {key: options[key] for key in UNTOLD.get(name, ()) if key in options}
    detected = detect_backbone(shapes, untold)
    assert detected.name == name
    with torch.device("meta"):
        again = build_backbone(name, **detected.options)
    assert again.options == backbone.options


def test_what_no_shape_tells_has_the_published_value_and_is_named() -> None:
    _, shapes = shapes_of("transweather", {})
    assert detect_backbone(shapes).assumed == {"heads": [1, 2, 4, 4], "decoder_heads": 8}
    assert detect_backbone(shapes, {"decoder_heads": 4}).assumed == {"heads": [1, 2, 4, 4]}
    _, shapes = shapes_of("airnet", TINY["airnet"])
    assert set(detect_backbone(shapes).assumed) == {"momentum", "temperature"}
    assert detect_backbone(shapes_of("restormer", {})[1]).assumed == {}


def test_keys_that_may_be_skipped_may_be_missing_or_differ() -> None:
    _, shapes = shapes_of("airnet", TINY["airnet"])
    del shapes["E.E.queue_ptr"]
    assert detect_backbone(shapes).options["queue_length"] == 12
    del shapes["E.E.queue"]
    assert "queue_length" in detect_backbone(shapes).assumed


@pytest.mark.parametrize("name", PUBLISHED)
def test_one_key_more_or_less_or_of_another_shape_is_refused(name: str) -> None:
    backbone, shapes = shapes_of(name, TINY[name])
    untold = {key: TINY[name][key] for key in UNTOLD.get(name, ())}
    for key in sorted(shapes.keys() - backbone.skippable_keys() - backbone.copied_keys().keys())[::9]:
        without = {other: shape for other, shape in shapes.items() if other != key}
        with pytest.raises(CheckpointError, match=r"lacks the key|belongs to no backbone|looks like"):
            detect_backbone(without, untold)
        with pytest.raises(CheckpointError):
            detect_backbone({**shapes, key: (*shapes[key], 7)}, untold)
    with pytest.raises(CheckpointError, match=f"looks like {name} but has the unknown key 'what.is.this'"):
        detect_backbone({**shapes, "what.is.this": (3,)}, untold)


def test_the_nearest_backbone_is_the_one_that_is_named() -> None:
    _, shapes = shapes_of("promptir", TINY["promptir"])
    shapes["prompt2.linear_layer.bias"] = (6,)
    with pytest.raises(CheckpointError, match=r"looks like promptir but has 'prompt2.linear_layer.bias'"):
        detect_backbone(shapes)
    shapes = shapes_of("restormer", TINY["restormer"])[1] | {"reduce_chan_level2.weight": (4, 1, 3, 3)}
    with pytest.raises(CheckpointError, match=r"in the shape \(4, 1, 3, 3\) instead of \(8, 16, 1, 1\)"):
        detect_backbone(shapes)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "restormer",
            {"patch_embed.proj.weight": (4, 6, 3, 3), "skip_conv.weight": (8, 4, 1, 1)},
            "looks like restormer but is the dual-pixel one",
        ),
        ("restormer", {"patch_embed.proj.weight": (4, 6, 3, 3)}, "takes 6 channels and gives 3"),
        ("restormer", {"output.weight": (1, 8, 3, 3)}, "takes 3 channels and gives 1"),
        ("promptir", None, "looks like promptir but is the one without decoder prompts"),
    ],
)
def test_networks_that_cannot_restore_a_photograph_are_refused_by_name(
    name: str, changes: dict[str, tuple[int, ...]], message: str
) -> None:
    _, shapes = shapes_of(name, TINY[name])
    without_prompts = {key: shape for key, shape in shapes.items() if not key.startswith("prompt")}
    with pytest.raises(CheckpointError, match=message):
        detect_backbone(without_prompts if changes is None else shapes | changes)


def test_what_begins_as_a_copy_may_be_missing_but_not_differ() -> None:
    backbone, shapes = shapes_of("airnet", TINY["airnet"])
    copies = backbone.copied_keys()
    assert len(copies) == sum(key.startswith("E.E.encoder_q.") for key in shapes)
    detected = detect_backbone({key: shape for key, shape in shapes.items() if key not in copies})
    assert detected.options["width"] == TINY["airnet"]["width"]
    with pytest.raises(CheckpointError, match="encoder_k.mlp.2.bias"):
        detect_backbone(shapes | {"E.E.encoder_k.mlp.2.bias": (5,)})


@given(st.dictionaries(st.text(max_size=12), st.lists(st.integers(0, 9), max_size=4).map(tuple), max_size=6))
def test_anything_else_belongs_to_no_backbone(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(CheckpointError, match="belongs to no backbone"):
        detect_backbone(shapes)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3, 3, 3), (4,)])
def test_shapes_that_make_no_sense_are_an_error_and_no_crash(shape: tuple[int, ...]) -> None:
    for name in PUBLISHED:
        _, shapes = shapes_of(name, TINY[name])
        for key in shapes:
            if key.endswith((".0.weight", "temperature", "proj.weight", "intro.weight", "queue", "query")):
                with pytest.raises(CheckpointError):
                    detect_backbone({**shapes, key: shape})


@given(st.decimals("0.5", 5, places=2), st.lists(st.integers(1, 400), min_size=1, max_size=4))
def test_the_shortest_factor_gives_the_products(factor: int, widths: tuple[int, ...]) -> None:
    products = [int(width * float(factor)) for width in widths]
    found = shortest_factor(widths, products)
    assert [int(width * found) for width in widths] == products
    assert len(str(found)) <= max(3, len(str(float(factor))))


def test_factors() -> None:
    assert shortest_factor([48, 96, 192, 384], [127, 255, 510, 1021]) == 2.66
    assert shortest_factor([48, 96], [96, 192]) == 2
    with pytest.raises(BackboneError, match="no common expansion"):
        shortest_factor([48, 96], [96, 300])


def test_lists_are_counted_up_to_the_first_gap() -> None:
    shapes = Shapes({"a.0.w": (1,), "a.1.w": (1,), "a.3.w": (1,), "a.10": (2, 0)})
    assert (shapes.count("a"), shapes.count("b")) == (2, 0)
    with pytest.raises(BackboneError, match="from which nothing can be told"):
        shapes.size("a.10", 0)
    with pytest.raises(BackboneError, match="lacks the key 'b'"):
        shapes.size("b", 0)
