"""A stand-in of the Hugging Face hub's API: repositories of small files in memory, and faults to order."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_of_the_tests"

Files = dict[str, bytes]


@dataclass
class Repository:
    """Its commits, the oldest first, by their hash; and whether its content is kept by hash as well."""

    private: bool = False
    large: bool = False
    commits: dict[str, Files] = field(default_factory=dict)

    def add(self, files: Files) -> str:
        digest = hashlib.sha1(f"{len(self.commits)}{sorted(files.items())!r}".encode()).hexdigest()
        self.commits[digest] = files
        return digest

    @property
    def head(self) -> str:
        return list(self.commits)[-1]


@dataclass
class Hub:
    """What the stand-in holds and does.

    Attributes:
        url: the address that HF_ENDPOINT is to have.
        repositories: by name.
        fault: ``half`` a file, ``damaged`` files, ``huge`` ones, no answer (``silent``), or a status such as
            ``503`` to everything.
        requests: method and path of all that was asked.
        stop: ends the silence.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    fault: str = ""
    requests: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def publish(self, name: str, folder: Path, *, private: bool = False, large: bool = False) -> str:
        """Make a folder the newest commit of a repository, and return the commit."""
        paths = [path for path in folder.rglob("*") if path.is_file()]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        return self.repositories.setdefault(name, Repository(private, large)).add(files)


@contextmanager
def serving() -> Iterator[Hub]:
    """Run a hub in a thread of this process."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        served = hub

    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:  # noqa: N802
        self._get(with_content=False)

    def do_GET(self) -> None:  # noqa: N802
        self._get(with_content=True)

    def _get(self, *, with_content: bool) -> None:
        parts = self._parts()
        if parts is None:
            return
        if parts[:2] == ["api", "models"]:
            name, revision = "/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main"
            found = self._commit(name, revision)
            if found is not None:
                self._json(self._info(name, *found))
            return
        name, revision, file = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        found = self._commit(name, revision)
        if found is None:
            return
        commit, files = found
        if file not in files:
            self._refuse(404, "EntryNotFound", commit)
            return
        content = files[file]
        tag = _sha256(content) if self.served.repositories[name].large else _blob_sha1(content)
        if self.served.fault == "damaged":
            content = bytes(len(content))
        headers = {"X-Repo-Commit": commit, "ETag": f'"{tag}"', "Content-Length": str(len(content))}
        if with_content and self.headers.get("Range"):
            # Only asked for after half a file; there is no more of it.
            self._answer(206, {**headers, "Content-Length": "1"}, b"", leave=True)
        elif with_content and self.served.fault == "half":
            self._answer(200, headers, content[: len(content) // 2], leave=True)
        else:
            self._answer(200, headers, content if with_content else b"")

    def do_POST(self) -> None:  # noqa: N802
        text = self.rfile.read(int(self.headers["Content-Length"]))
        parts = self._parts()
        if parts is None:
            return
        if parts == ["api", "validate-yaml"]:
            self._json({})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(401)
        elif parts == ["api", "repos", "create"]:
            self._create(json.loads(text))
        elif parts[4] == "preupload":
            asked = json.loads(text)["files"]
            kept = {"uploadMode": "regular", "shouldIgnore": False}
            self._json({"files": [{"path": each["path"], **kept} for each in asked]})
        else:
            self._take("/".join(parts[2:4]), [json.loads(line) for line in text.splitlines()])

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.served.repositories:
            self._json({"url": f"{self.served.url}/{name}"}, 409)
            return
        repository = Repository(private=asked.get("visibility") == "private" or bool(asked.get("private")))
        repository.add({".gitattributes": b""})
        self.served.repositories[name] = repository
        self._json({"url": f"{self.served.url}/{name}"})

    def _take(self, name: str, lines: list[dict[str, Any]]) -> None:
        repository = self.served.repositories[name]
        if self.served.fault == "overtaken":
            repository.add({**repository.commits[repository.head], "adapter_config.json": b"{}"})
        if lines[0]["value"]["parentCommit"] != repository.head:
            self._refuse(412)
            return
        files = dict(repository.commits[repository.head])
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                del files[value["path"]]
        commit = repository.add(files)
        self._json({"commitUrl": f"{self.served.url}/{name}/commit/{commit}", "commitOid": commit})

    def _parts(self) -> list[str] | None:
        """Return the parts of the path that is asked for; None where a fault has been the answer."""
        path = urlsplit(self.path).path
        self.served.requests.append(f"{self.command} {path}")
        if self.served.fault == "silent":
            self.served.stop.wait(5)
            self.close_connection = True
            return None
        if self.served.fault.isdigit():
            self._refuse(int(self.served.fault))
            return None
        return [unquote(part) for part in path.strip("/").split("/")]

    def _commit(self, name: str, revision: str) -> tuple[str, Files] | None:
        repository = self.served.repositories.get(name)
        if repository is None:
            self._refuse(404, "RepoNotFound")
            return None
        if repository.private and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(401, "GatedRepo")
            return None
        commit = repository.head if revision == "main" else revision
        if commit not in repository.commits:
            self._refuse(404, "RevisionNotFound")
            return None
        return commit, repository.commits[commit]

    def _info(self, name: str, commit: str, files: Files) -> dict[str, Any]:
        repository = self.served.repositories[name]
        siblings = []
        for file, content in files.items():
            size = len(content) if self.served.fault != "huge" else 10**12
            entry: dict[str, Any] = {"rfilename": file, "size": size, "blobId": _blob_sha1(content)}
            if repository.large:
                entry["lfs"] = {"sha256": _sha256(content), "size": size, "pointerSize": 130}
            siblings.append(entry)
        return {"id": name, "sha": commit, "private": repository.private, "tags": [], "siblings": siblings}

    def _json(self, values: dict[str, Any], status: int = 200) -> None:
        self._answer(status, {"Content-Type": "application/json"}, json.dumps(values).encode())

    def _refuse(self, status: int, code: str = "", commit: str = "") -> None:
        headers = {"X-Error-Code": code} if code else {}
        self._answer(status, {**headers, **({"X-Repo-Commit": commit} if commit else {})}, b"")

    def _answer(self, status: int, headers: dict[str, str], content: bytes, *, leave: bool = False) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = leave


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _blob_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that huggingface_hub talks to, with an empty cache and without a token."""
    import huggingface_hub
    from huggingface_hub import constants

    from polyrestore.bundles import hub_bundles

    with serving() as hub:
        # Read from the environment where the client is imported, which has happened.
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        huggingface_hub.close_session()
        hub_bundles._asked.cache_clear()
        yield hub
        huggingface_hub.close_session()
        hub_bundles._asked.cache_clear()
