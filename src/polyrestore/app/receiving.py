"""Uploads: received into memory, within a time, a size and a share of what all uploads may take."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from polyrestore.app.lanes import busy
from polyrestore.app.limits import Limits
from polyrestore.app.refusals import RefusedError
from polyrestore.errors import StoppedError

# An answer that is sent while the client still sends is lost in many clients.
_DRAIN_S = 10.0
_RETRY_S = 3.0


class HeldBytes:
    """Counts the bytes of uploads that are in memory, all together.

    Args:
        most: more are refused.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = 0

    def take(self, count: int) -> None:
        """Count bytes more.

        Raises:
            RefusedError: there would be too many.
        """
        if self.now + count > self.most:
            raise busy(_RETRY_S)
        self.now += count


@asynccontextmanager
async def received(request: Request, limits: Limits, held: HeldBytes) -> AsyncIterator[bytes]:
    """Receive the body of a request, and count it until the block has ended.

    Args:
        request: whose body has not been read.
        limits: of its size and its time.
        held: what all uploads take.

    Yields:
        the body.

    Raises:
        RefusedError: it is empty, too large or too slow, or there are too many others.
        StoppedError: the client went away.
    """
    taken = 0
    parts: list[bytes] = []
    try:
        declared = _declared(request)
        if declared > limits.max_bytes:
            raise _too_large(limits)
        held.take(declared)
        taken, count = declared, 0
        async with asyncio.timeout(limits.receive_s):
            async for part in request.stream():
                count += len(part)
                if count > limits.max_bytes:
                    raise _too_large(limits)
                if count > taken:
                    held.take(count - taken)
                    taken = count
                parts.append(part)
        if not count:
            raise RefusedError("empty", "the request has no image in its body")
        content = b"".join(parts)
        parts.clear()
        yield content
    except TimeoutError as error:
        seconds = limits.receive_s
        raise RefusedError(
            "too_slow", f"the upload took longer than {seconds:g} seconds", {"seconds": seconds}
        ) from error
    except ClientDisconnect as error:
        raise StoppedError("the client went away") from error
    except RefusedError as refusal:
        if refusal.word in ("busy", "too_many_bytes"):
            await drain(request)
        raise
    finally:
        held.now -= taken


async def drain(request: Request) -> None:
    """Read what a client still sends, and forget it, for some seconds at most."""
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in request.stream():
                pass


def _declared(request: Request) -> int:
    stated = request.headers.get("content-length", "")
    return int(stated) if stated.isdecimal() else 0


def _too_large(limits: Limits) -> RefusedError:
    return RefusedError(
        "too_many_bytes", f"the upload is larger than {limits.max_mb:g} MB", {"max_mb": limits.max_mb}
    )
