"""The page, served to this process by a thread of its own, with a bundle of tiny parts."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import torch

from polyrestore.adapters import LoraConfig
from polyrestore.app.engine import Engine
from polyrestore.app.limits import Limits
from polyrestore.app.server import make_server, open_socket
from polyrestore.bulk.one_file import RestoreTask
from polyrestore.bundles import save_bundle
from polyrestore.imaging import ImageMetadata, encode_image
from polyrestore.restoration.opening import load
from polyrestore.restoration.restorer import Restorer
from tests.support.tiny_bundle import TWO_LORAS, tiny_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    # No image counts as clean, so that every one is run through the network.
    adapters = {**TWO_LORAS, "downsampling": LoraConfig(rank=2)}
    made = tiny_bundle(adapters, settings={"clean_threshold": 1.1})
    return str(save_bundle(tmp_path_factory.mktemp("bundles") / "tiny", made))


def picture(name: str = "photo.png", width: int = 40, height: int = 30, seed: int = 0, **facts: Any) -> bytes:
    pixels = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))
    return encode_image(name, pixels, ImageMetadata(**facts))[0]


@dataclass
class Reply:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


@dataclass
class Site:
    """A page that is being served."""

    port: int
    engine: Engine
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        *,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        **parameters: object,
    ) -> Reply:
        """Send a request, with a body by POST; an underscore at the end of a parameter is left out."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        query = urlencode({name.rstrip("_"): value for name, value in parameters.items()})
        method = method or ("GET" if body is None else "POST")
        try:
            connection.request(
                method, path + (f"?{query}" if query else ""), body, {**self.headers, **(headers or {})}
            )
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, answer.read(), found)
        finally:
            connection.close()


Serve = Callable[..., Site]


@cache
def restorers(bundle: str) -> Iterator[Restorer]:
    return cycle([load(bundle, "cpu"), load(bundle, "cpu")])


@dataclass(frozen=True)
class OpenTask(RestoreTask):
    """A task that is open already, since the pages of the tests have one bundle."""

    def open(self) -> Restorer:
        return next(restorers(self.bundle))


@pytest.fixture(scope="module")
def serve(bundle: str) -> Iterator[Serve]:
    """Serve pages, each with limits of its own, until the tests of the module are done."""
    ended: list[Callable[[], None]] = []

    def start(*, token: str | None = None, **limits: Any) -> Site:
        bound = open_socket("127.0.0.1", 0)
        engine = Engine(OpenTask(bundle=bundle, device="cpu"), Limits(**limits), preview_px=256)
        server = make_server(engine, bound, token=token)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()

        def end() -> None:
            engine.stop()
            server.should_exit = True
            thread.join(20)
            bound.close()

        ended.append(end)
        return Site(bound.getsockname()[1], engine)

    yield start
    for end in ended:
        end()


@pytest.fixture(scope="module")
def site(serve: Serve) -> Site:
    return serve(max_megapixels=20.0, max_mb=5.0)


def wait_until(true: Callable[[], object], seconds: float = 20.0) -> None:
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def slow_tiles(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let every restoration take until the event is set, a tile at a time; its first tile is announced."""
    go_on = threading.Event()
    at_once = Restorer.restore

    def slowly(self: Restorer, *arguments: Any, **options: Any) -> Any:
        done = 0
        while not go_on.wait(0.02):
            done += 1
            if self.on_tile is not None:
                self.on_tile(done, 10_000)
        return at_once(self, *arguments, **options)

    monkeypatch.setattr(Restorer, "restore", slowly)
    return go_on


@pytest.fixture
def chdir_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
