"""Errors say what they are about, and survive the way from one process to another."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from polyrestore import errors
from polyrestore.adapters.registry import adapter_kind
from polyrestore.backbones import build_backbone
from polyrestore.bundles import find_bundle
from polyrestore.data.layouts.finding import find_sets
from polyrestore.degradations import degrade, named_mixture
from polyrestore.recognition import recogniser_kind
from polyrestore.runtimes.registry import open_runtime
from polyrestore.training.weighting import build_weighting
from tests.support.networks import TINY, tiny

TINY_RUNTIME = (tiny("compact", TINY["compact"]), (), torch.device("cpu"))
ALL = [each for name, each in vars(errors).items() if name.endswith("Error")]


@pytest.mark.parametrize(
    ("look_up", "domain"),
    [
        (lambda: find_bundle("defualt"), errors.BundleError),
        (lambda: build_backbone("compakt"), errors.BackboneError),
        (lambda: adapter_kind("lorra"), errors.AdapterError),
        (lambda: recogniser_kind("netwrok"), errors.RecognitionError),
        (lambda: named_mixture("haze+rian"), errors.DegradationError),
        (lambda: degrade(torch.zeros(1, 3, 4, 4), {"nois": 1.0}, torch.Generator()), errors.DegradationError),
        (lambda: build_weighting("arrt", 2), errors.RecipeError),
        (lambda: find_sets(Path(), "goproo"), errors.DataError),
        (lambda: open_runtime("torsch", *TINY_RUNTIME, "float32"), errors.DeviceError),
        (lambda: open_runtime("torch", *TINY_RUNTIME, "float61"), errors.DeviceError),
    ],
)
def test_an_unknown_name_is_an_error_of_what_was_looked_up(
    look_up: Callable[[], object], domain: type[errors.PolyrestoreError]
) -> None:
    with pytest.raises(domain, match="^unknown .*; (did you mean|known:)") as caught:
        look_up()
    assert isinstance(caught.value, errors.UnknownNameError)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_is_of_the_hierarchy_and_goes_from_one_process_to_another(
    kind: type[errors.PolyrestoreError],
) -> None:
    assert issubclass(kind, errors.PolyrestoreError)
    needs_more = kind is errors.MissingExtraError
    arguments = ("packing", "webdataset", "data") if needs_more else ("what went wrong",)
    error = pickle.loads(pickle.dumps(kind(*arguments)))
    assert type(error) is kind
    assert str(error) == str(kind(*arguments))


def test_a_missing_library_is_named_with_its_extra() -> None:
    with pytest.raises(errors.MissingExtraError) as caught, errors.needs_extra("drawing", "plots"):
        import no_such_library.part  # type: ignore[import-not-found]  # noqa: F401
    assert str(caught.value) == "drawing needs no_such_library: pip install 'polyrestore[plots]'"
    assert (caught.value.library, caught.value.extra) == ("no_such_library", "plots")


def test_other_errors_pass_by_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), errors.needs_extra("drawing", "plots"):
        (tmp_path / "absent").read_text()
