"""Files from the hub: whole, pinned, kept, and one line where they cannot be had; against a stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from polyrestore.errors import HubError
from polyrestore.storage import hub as client
from polyrestore.storage.hub import RepositoryKind, fetch_repository, is_commit, split_revision
from polyrestore.storage.hub_faults import hub_faults
from polyrestore.storage.hub_upload import upload_repository
from tests.support.hub import TOKEN, Hub
from tests.support.hub import hub as hub

NAME = "owner/thing"
KIND = RepositoryKind(
    "thing", {"a.json": 100, "b/*.safetensors": 1000}, required=("b/c.safetensors", "a.json")
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (("a.json", b"{}"), ("b/c.safetensors", b"x" * 900), ("setup.py", b"1 / 0")):
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    return tmp_path / "folder"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b", ("a/b", None)),
        ("a/b@v1.0", ("a/b", "v1.0")),
        ("a/b@refs/pr/1", ("a/b", "refs/pr/1")),
        *(
            (text, None)
            for text in ("a", "a@b", "./b", "a/b/c", "a/b@", "a/b@../c", "a/ü", "/a", "~/a", "a/b@ c")
        ),
    ],
)
def test_a_revision_follows_the_name(text: str, expected: object) -> None:
    assert split_revision(text) == expected


@pytest.mark.parametrize("large", [False, True])
def test_only_what_belongs_there_is_downloaded_once(hub: Hub, folder: Path, large: bool) -> None:
    commit = hub.publish(NAME, folder, large=large)
    snapshot = fetch_repository(NAME, KIND)
    assert is_commit(commit)
    assert (snapshot.commit, snapshot.folder.name) == (commit, commit)
    files = {
        path.relative_to(snapshot.folder).as_posix(): path.read_bytes()
        for path in snapshot.folder.rglob("*")
        if path.is_file()
    }
    assert files == {"a.json": b"{}", "b/c.safetensors": b"x" * 900}
    hub.requests.clear()
    assert fetch_repository(NAME, KIND, newest=False) == snapshot
    assert fetch_repository(NAME, KIND, commit) == snapshot
    assert hub.requests == []


def test_the_newest_is_asked_for_and_what_is_kept_stands_in(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hub.publish(NAME, folder)
    fetch_repository(NAME, KIND)
    (folder / "a.json").write_bytes(b"{ }")
    second = hub.publish(NAME, folder)
    assert fetch_repository(NAME, KIND, newest=False).commit == first
    assert fetch_repository(NAME, KIND, "main").commit == second
    assert fetch_repository(NAME, KIND, newest=False).commit == second
    hub.fault = "503"
    assert fetch_repository(NAME, KIND).commit == second
    hub.fault = ""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert fetch_repository(NAME, KIND).commit == second
    with pytest.raises(HubError, match=r"other is not in the cache, .* \[hub_offline\]"):
        fetch_repository("owner/other", KIND)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("half", "hub_incomplete"),
        ("damaged", "hub_damaged"),
        ("huge", "hub_too_large"),
        ("silent", "hub_timeout"),
        ("401", "hub_denied"),
        ("403", "hub_denied"),
        ("418", "hub_refused"),
        ("503", "hub_unreachable"),
    ],
)
def test_faults_are_one_line_and_nothing_is_kept_as_good(
    hub: Hub,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    fault: str,
    code: str,
) -> None:
    hub.publish(NAME, folder)
    hub.fault = fault
    monkeypatch.setattr(client, "ANSWER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(HubError) as raised:
        fetch_repository(NAME, KIND)
    assert raised.value.code == code
    assert "\n" not in str(raised.value)
    assert capfd.readouterr().err == ""
    hub.fault = ""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="hub_offline"):
        fetch_repository(NAME, KIND, newest=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    snapshot = fetch_repository(NAME, KIND)
    assert (snapshot.folder / "b/c.safetensors").read_bytes() == b"x" * 900


def test_what_is_not_there_is_said(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.publish(NAME, folder)
    hub.publish("owner/secret", folder, private=True)
    other = RepositoryKind("other", {"d.json": 10}, required=("d.json",))
    for name, kind, revision, code in (
        ("owner/none", KIND, None, "hub_not_found"),
        (NAME, KIND, "v2", "hub_not_found"),
        ("owner/secret", KIND, None, "hub_denied"),
        (NAME, other, None, "hub_foreign"),
    ):
        with pytest.raises(HubError) as raised:
            fetch_repository(name, kind, revision)
        assert raised.value.code == code
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert fetch_repository("owner/secret", KIND).commit == hub.repositories["owner/secret"].head


def test_nobody_listens(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    began = time.monotonic()
    with pytest.raises(HubError, match=r"cannot be reached to ask for owner/thing; .*\[hub_unreachable\]"):
        fetch_repository(NAME, KIND)
    assert time.monotonic() - began < 5


def test_no_error_quotes_the_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(HubError, match=r"Illegal header b'Bearer \*\*\*' \[hub_refused\]"), hub_faults(NAME):
        raise ValueError(f"Illegal header b'Bearer {TOKEN}'\nand more")


def test_a_folder_becomes_a_repository_in_one_commit(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "up").mkdir()
    for name in ("a.json", "b.json"):
        (tmp_path / "up" / name).write_text("{}")
    kind = RepositoryKind("thing", {"*.json": 100}, required=("a.json",))
    with pytest.raises(HubError, match="hub_denied"):
        upload_repository("me/thing", tmp_path / "up", kind, "First")
    assert hub.repositories == {}
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    done = upload_repository("me/thing", tmp_path / "up", kind, "First")
    assert (done.commit, done.private) == (hub.repositories["me/thing"].head, False)
    (tmp_path / "up" / "b.json").unlink()
    upload_repository("me/thing", tmp_path / "up", kind, "Second")
    commits = [sorted(files) for files in hub.repositories["me/thing"].commits.values()]
    assert commits == [
        [".gitattributes"],
        [".gitattributes", "a.json", "b.json"],
        [".gitattributes", "a.json"],
    ]
    assert upload_repository("me/hidden", tmp_path / "up", kind, "First", private=True).private
    before = dict(hub.repositories["me/thing"].commits)
    with pytest.raises(HubError, match="is not private"):
        upload_repository("me/thing", tmp_path / "up", kind, "Third", private=True)
    with pytest.raises(HubError, match=r"holds a.json, which belongs to no word; .*\[hub_foreign\]"):
        upload_repository("me/thing", tmp_path / "up", RepositoryKind("word", {"w": 1}, ("w",)), "Third")
    assert hub.repositories["me/thing"].commits == before
    hub.fault = "overtaken"
    with pytest.raises(HubError, match=r"\[hub_changed\]"):
        upload_repository("me/thing", tmp_path / "up", kind, "Fourth")
    assert len(hub.repositories["me/thing"].commits) == len(before) + 1


def test_the_place_of_the_hub_is_the_client_s_own_setting(hub: Hub, folder: Path, tmp_path: Path) -> None:
    commit = hub.publish(NAME, folder)
    code = (
        "import sys\n"
        "from polyrestore.storage.hub import RepositoryKind, fetch_repository\n"
        "assert 'huggingface_hub' not in sys.modules\n"
        "kind = RepositoryKind('thing', {'a.json': 9}, ('a.json',))\n"
        f"print(fetch_repository({NAME!r}, kind).commit)\n"
        "assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, commit, "")
