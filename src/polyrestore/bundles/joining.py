"""One bundle of the parts of several: adapters that were trained one after another, and a recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from polyrestore.adapters import carry_over
from polyrestore.bundles.bundle import Bundle, BundleInfo
from polyrestore.errors import AdapterError, BundleError


def join_bundles(bundles: Sequence[Bundle]) -> Bundle:
    """Add the adapters and the recogniser of later bundles to the first one.

    The first one's backbone may have more parts than the others', as long as what the adapters were trained
    beside is in it unchanged.

    Raises:
        BundleError: an adapter was trained beside another backbone.
    """
    first = bundles[0]
    for other in bundles[1:]:
        try:
            theirs = {
                name: carry_over(adapter, other.backbone, first.backbone)
                for name, adapter in other.adapters.items()
            }
        except AdapterError as error:
            raise BundleError(
                f"the adapters of {other.name!r} belong to another backbone: {error}"
            ) from error
        # A bundle also carries along the adapters that it started from; only those it trained are newer.
        trained = {name: a for name, a in theirs.items() if f"adapter {name}" in other.info.training}
        if other.adapters:
            first = replace(first, adapters={**first.adapters, **trained}, info=_with_origin(first, other))
        if other.recogniser is not None:
            first = with_recogniser(first, other)
    return first


def with_recogniser(bundle: Bundle, other: Bundle) -> Bundle:
    """Give a bundle the recogniser of another one, which may have another backbone."""
    return replace(
        bundle,
        recogniser=other.recogniser,
        prototypes=other.prototypes,
        recognition_settings={
            **other.recognition_settings,
            **bundle.composing_settings(other.activation),
        },
        info=_with_origin(bundle, other, only="recogniser"),
    )


def _with_origin(bundle: Bundle, other: Bundle, only: str = "") -> BundleInfo:
    """Add where another bundle's parts came from, all but its backbone, or one of them alone."""
    training = {
        key: value
        for key, value in other.info.training.items()
        if key not in ("pretraining", "generative") and only in ("", key)
    }
    provenance = tuple(dict.fromkeys((*bundle.info.provenance, *other.info.provenance)))
    update = {"training": {**bundle.info.training, **training}, "provenance": provenance}
    return bundle.info.model_copy(update=update)
