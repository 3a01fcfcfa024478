"""How a restorer turns what it recognises into weights: the bundle's settings, and those in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from polyrestore.bundles import Bundle
from polyrestore.errors import BundleError, RecognitionError, nearest_names
from polyrestore.recognition import RecognitionSettings


def recognition_settings(bundle: Bundle) -> RecognitionSettings:
    """Return how a bundle turns similarities into weights.

    Raises:
        BundleError: its settings do not fit.
    """
    try:
        return RecognitionSettings(**bundle.recognition_settings)
    except (TypeError, RecognitionError) as error:
        raise BundleError(
            f"bundle {bundle.name!r} has recognition settings that do not fit: {error}"
        ) from error


def with_settings(bundle: Bundle, settings: Mapping[str, Any]) -> Bundle:
    """Return a copy of a bundle with other recognition settings in place of its own.

    Args:
        bundle: left as it is.
        settings: fields of :class:`~polyrestore.recognition.RecognitionSettings`.

    Raises:
        BundleError: it has no recogniser.
        RecognitionError: a setting is unknown or outside its range.
    """
    if bundle.recogniser is None:
        raise BundleError(f"bundle {bundle.name!r} has no recogniser, so {', '.join(settings)} cannot be set")
    known = [field.name for field in fields(RecognitionSettings)]
    for name in settings:
        if name not in known:
            raise RecognitionError(f"unknown recognition setting {name!r}; {nearest_names(name, known)}")
    for name in RecognitionSettings(**settings).minimum_shares:
        if name not in bundle.adapters:
            raise RecognitionError(
                f"minimum_shares: no adapter {name!r}; {nearest_names(name, bundle.adapters)}"
            )
    return replace(bundle, recognition_settings={**bundle.recognition_settings, **settings})
