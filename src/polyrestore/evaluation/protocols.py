"""The protocols that published comparisons are made by, under the names they go by here.

The figures of one image differ by decibels from one to the next, so those of two are never compared.
"""

from __future__ import annotations

from polyrestore.errors import UnknownProtocolError, unknown_name
from polyrestore.evaluation.metrics import Protocol

PROTOCOLS: dict[str, Protocol] = {
    # As files are: what a user sees.
    "files": Protocol(),
    # AirNet, PromptIR, AdaIR and others on three and five tasks.
    "all-in-one": Protocol(rounded=False, window="uniform", multiple=16),
    # Restormer and others on CBSD68, Kodak24 and Urban100.
    "denoising": Protocol(),
    # TransWeather and others on Snow100K, Outdoor-Rain and RainDrop.
    "weather": Protocol(channels="y"),
    "cdd11": Protocol(window="uniform"),
    # DA-CLIP on ten tasks.
    "ten-tasks": Protocol(crop_px=4),
}
"""By name."""
DEFAULT_PROTOCOL = "files"


def protocol_of(name: str) -> Protocol:
    """Return the protocol of a name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS, UnknownProtocolError)
    return PROTOCOLS[name]
