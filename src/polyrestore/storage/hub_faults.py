"""What can go wrong with the Hugging Face hub: one line and one code, whatever library raised it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from polyrestore.errors import (
    HubChangedError,
    HubDeniedError,
    HubError,
    HubIncompleteError,
    HubNotFoundError,
    HubOfflineError,
    HubRefusedError,
    HubTimeoutError,
    HubUnreachableError,
    PolyrestoreError,
)

UNANSWERED = (HubOfflineError, HubTimeoutError, HubUnreachableError)
"""The faults that say nothing about a repository."""

_LOGIN = "log in with `hf auth login`, or set HF_TOKEN"


@contextmanager
def hub_faults(name: str) -> Iterator[None]:
    """Turn whatever the hub's client raises in a block into one :class:`HubError`; the client keeps silent.

    Args:
        name: of the repository, for the message.

    Raises:
        HubError: the block raised an error that is none of the package's own.
        ImportError: huggingface_hub is not installed.
    """
    log = logging.getLogger("huggingface_hub")
    level = log.level
    # Its retries are told line by line.
    log.setLevel(logging.CRITICAL)
    try:
        yield
    except (PolyrestoreError, ImportError):
        raise
    except Exception as error:
        # The client raises errors of several libraries, which differ between its versions.
        raise _fault(error, name) from error
    finally:
        log.setLevel(level)


def _fault(error: Exception, name: str) -> HubError:
    chain = _chain(error)
    kinds = {kind.__name__ for each in chain for kind in type(each).__mro__}
    if "OfflineModeIsEnabled" in kinds:
        return HubOfflineError(
            f"{name} is not in the cache, and HF_HUB_OFFLINE forbids to ask the hub for it"
        )
    status = next(filter(None, (_status(each) for each in chain)), None)
    if status is not None:
        return _answered(status, kinds, name)
    if "TimeoutException" in kinds:
        return HubTimeoutError(f"the hub did not answer in time when asked for {name}; try again later")
    reason = _without_token(next(iter(str(error).strip().splitlines()), "") or type(error).__name__)
    if "RemoteProtocolError" in kinds or "Consistency check failed" in reason:
        return HubIncompleteError(f"the connection broke before all of {name} was there; try again")
    if kinds & {"TransportError", "ConnectionError", "LocalEntryNotFoundError"}:
        return HubUnreachableError(f"the hub cannot be reached to ask for {name}; try again later")
    return HubRefusedError(f"{name} cannot be had from the hub: {reason}")


def _answered(status: int, kinds: set[str], name: str) -> HubError:
    if "RevisionNotFoundError" in kinds:
        return HubNotFoundError(f"{name} on the hub has no such revision")
    if status in (401, 403) or "GatedRepoError" in kinds:
        return HubDeniedError(
            f"the hub does not let you use {name}: it is private or gated, or there is none; {_LOGIN}",
        )
    if status == 404:
        return HubNotFoundError(f"the hub has no model repository {name}, or not this file in it")
    if status in (409, 412):
        return HubChangedError(f"{name} was changed on the hub at the same time; try again")
    if status == 429 or status >= 500:
        return HubUnreachableError(f"the hub answers with status {status}; try again later")
    return HubRefusedError(f"the hub answers with status {status} when asked for {name}")


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error with all that it was raised from."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    return chain


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _without_token(text: str) -> str:
    """Return a text without the user's token, which an error about a header may quote."""
    from huggingface_hub import get_token

    token = get_token()
    return text.replace(token, "***") if token else text
