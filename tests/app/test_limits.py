"""Many at once, slow ones, large ones, and those that go away: none lost, and nothing kept."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from polyrestore.app.limits import Limits
from polyrestore.errors import ServiceError
from polyrestore.restoration.restorer import Restorer
from tests.app.conftest import Reply, Serve, Site, picture, wait_until


def test_of_fifty_at_once_none_is_lost_and_few_are_there_at_a_time(serve: Serve) -> None:
    site = serve(queue=4, max_mb=0.02)
    contents = [picture(width=24, height=20, seed=seed) for seed in range(50)]
    expected = [
        site.ask("/api/restore", content, as_="rain", name="photo.png").body for content in contents[:3]
    ]
    refused: list[Reply] = []
    most: list[int] = []

    def send(content: bytes) -> bytes:
        while True:
            most.append(site.engine.waiting)
            answer = site.ask("/api/restore", content, as_="rain", name="photo.png")
            if answer.status == 200:
                return answer.body
            refused.append(answer)
            time.sleep(0.5)

    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(send, contents))
    assert results[:3] == expected
    assert len(set(results)) == 50
    assert max(most) <= 4
    assert refused
    assert {(answer.status, answer.code) for answer in refused} == {(503, "busy")}
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
    wait_until(lambda: (site.engine.waiting, site.engine.running) == (0, 0))


def test_uploads_share_what_may_be_in_memory(serve: Serve, slow_tiles: threading.Event) -> None:
    site = serve(max_mb=0.004)
    content = picture()
    assert 3200 < len(content) < 4000
    with ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(site.ask, "/api/restore", content) for _ in range(2))
        wait_until(lambda: site.engine.waiting + site.engine.running == 2)
        assert site.ask("/api/restore", content).code == "busy"
        slow_tiles.set()
        assert first.result().status == second.result().status == 200
    assert site.ask("/api/restore", content).status == 200


def connect(site: Site, head: str) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", site.port), timeout=20)
    stream.sendall((head + "\r\n").encode())
    return stream


def request_head(length: int | str) -> str:
    size = f"Content-Length: {length}" if isinstance(length, int) else "Transfer-Encoding: chunked"
    return f"POST /api/restore HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{size}\r\n"


def test_a_client_that_sends_slowly_is_told_so(serve: Serve) -> None:
    site = serve(receive_s=0.3)
    with connect(site, request_head(1000)) as stream:
        stream.sendall(b"x" * 10)
        answer = stream.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"too_slow" in answer


def test_a_size_that_is_not_announced_is_counted(serve: Serve) -> None:
    site = serve(max_mb=0.001)
    with connect(site, request_head("chunked")) as stream:
        stream.sendall(b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n")
        answer = stream.makefile("rb").readline()
    assert answer.startswith(b"HTTP/1.1 413")


def test_the_work_of_a_client_that_goes_away_is_dropped(serve: Serve, slow_tiles: threading.Event) -> None:
    site = serve()
    content = picture()
    with connect(site, request_head(len(content))) as stream:
        stream.sendall(content)
        wait_until(lambda: site.engine.running == 1)
        # One that waits behind it goes away as well.
        with connect(site, request_head(len(content))) as other:
            other.sendall(content)
            wait_until(lambda: site.engine.waiting == 1)
        wait_until(lambda: site.engine.waiting == 0)
        assert site.engine.running == 1
    wait_until(lambda: site.engine.running == 0)
    assert not slow_tiles.is_set()
    with connect(site, request_head(1000)) as stream:
        stream.sendall(b"x" * 10)
    slow_tiles.set()
    assert site.ask("/api/restore", content).status == 200


def test_how_far_an_image_is_can_be_asked(serve: Serve, slow_tiles: threading.Event) -> None:
    site = serve()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(site.ask, "/api/restore", picture(), job="my-picture-1")
        wait_until(lambda: site.ask("/api/jobs/my-picture-1").status == 200)
        wait_until(lambda: site.ask("/api/jobs/my-picture-1").json["done"] >= 1)
        assert site.ask("/api/jobs/my-picture-1").json["state"] == "running"
        assert site.ask("/api/restore", picture(), job="my-picture-1").code == "invalid"
        slow_tiles.set()
        assert asked.result().status == 200
    assert site.ask("/api/jobs/my-picture-1").code == "not_found"


def test_what_takes_too_long_is_given_up(serve: Serve, slow_tiles: threading.Event) -> None:
    site = serve(seconds=0.1)
    answer = site.ask("/api/restore", picture())
    assert (answer.status, answer.code) == (504, "too_many_seconds")
    assert answer.json["error"]["values"] == {"seconds": 0.1}


def test_the_end_waits_for_no_image(serve: Serve, slow_tiles: threading.Event) -> None:
    site = serve()
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(site.ask, "/api/restore", picture()) for _ in range(2)]
        wait_until(lambda: site.engine.waiting + site.engine.running == 2)
        site.engine.stop()
        assert {each.result().code for each in asked} == {"stopped"}
    assert site.ask("/api/restore", picture()).code == "stopped"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out_of_memory"),
        (RuntimeError("CUDA out of memory"), "out_of_memory"),
        (ValueError("odd"), "internal"),
    ],
)
def test_neither_a_lack_of_memory_nor_a_defect_ends_the_page(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Restorer, "restore", fail)
        answer = site.ask("/api/restore", picture())
    assert answer.code == code
    assert "Traceback" not in answer.body.decode()
    assert site.ask("/api/restore", picture()).status == 200


def test_nothing_is_written_anywhere(site: Site, chdir_to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a file was opened for writing")

    for name in ("polyrestore.files.stage_bytes", "polyrestore.files.write_bytes", "tempfile.mkstemp"):
        monkeypatch.setattr(name, refuse)
    for path in ("restore", "recognise", "preview"):
        assert site.ask(f"/api/{path}", picture()).status == 200
    assert not list(chdir_to.iterdir())


@pytest.mark.parametrize("limit", ["max_mb", "max_megapixels", "queue", "seconds", "receive_s"])
def test_limits_are_above_0(limit: str) -> None:
    odd: tuple[Any, ...] = (0, -1, float("nan"))
    for value in odd:
        with pytest.raises(ServiceError, match=re.escape(limit.replace("_", "-"))):
            Limits(**{limit: value})


def test_notes_and_numbers_of_refusals_are_json(site: Site) -> None:
    answer = site.ask("/api/restore", b"no image")
    assert set(json.loads(answer.body)["error"]) == {"code", "message", "values"}
