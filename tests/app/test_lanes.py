"""Large images give way to small ones, and not for ever."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from polyrestore.app.lanes import Job, Lane
from tests.app.conftest import Serve, picture


def test_others_wait_until_a_lane_is_empty_or_long_enough() -> None:
    lane, gate, passed = Lane("small", 4), threading.Event(), threading.Event()

    async def never() -> None:
        await asyncio.Event().wait()

    def give_way() -> None:
        lane.give_way(60)
        passed.set()

    async def fill() -> None:
        jobs = [asyncio.create_task(lane.run(Job(60), gate.wait, never)) for _ in range(2)]
        await asyncio.sleep(0.01)
        started = time.monotonic()
        lane.give_way(0.05)
        assert time.monotonic() - started >= 0.05
        waiting = threading.Thread(target=give_way)
        waiting.start()
        assert not await asyncio.to_thread(passed.wait, 0.05)
        gate.set()
        assert await asyncio.gather(*jobs) == [True, True]
        await asyncio.to_thread(waiting.join)

    asyncio.run(fill())
    assert passed.is_set()
    lane.give_way(60)
    lane.stop()


def test_a_large_image_gives_way_after_each_tile_and_a_small_one_does_not(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = serve()
    given: list[float] = []
    monkeypatch.setattr(site.engine._quick, "give_way", given.append)
    assert site.ask("/api/restore", picture(width=24, height=20)).status == 200
    assert not given
    site.engine.preview_px = 10
    assert site.ask("/api/restore", picture(width=24, height=20)).status == 200
    assert given
