"""What is a URL, what a store answers, and what of its faults is told."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest

from polyrestore.errors import StorageError
from polyrestore.storage import urls
from polyrestore.storage.urls import EMPTY, Store, as_place, is_url, url_name
from tests.support.stores import flaky_store


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("photos/a.png", Path("photos/a.png")),
        ("C:/photos", Path("C:/photos")),
        ("file:///photos/a.png", Path("/photos/a.png")),
        ("S3://Bucket/photos/", "s3://Bucket/photos"),
        ("memory://", "memory://"),
    ],
)
def test_a_text_is_a_path_or_a_url(text: str, place: Path | str) -> None:
    assert as_place(text) == place
    assert is_url(place) == isinstance(place, str)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://me:hunter2@host/a", r"^ftp://\*\*\*@host/a: leave the password out of the URL"),
        ("https://host/a.png?signature=hunter2", "^https://host/a.png: URLs with a query"),
        ("simplecache::s3://bucket/a::b", "chains of URLs are not taken"),
    ],
)
def test_what_may_be_secret_is_neither_taken_nor_told(text: str, message: str) -> None:
    if not is_url(text):
        text = text.removeprefix("simplecache::")
    with pytest.raises(StorageError, match=message) as caught:
        as_place(text)
    assert "hunter2" not in str(caught.value)


def test_a_library_that_is_missing_is_named() -> None:
    # Of this scheme nobody has one installed by accident.
    with pytest.raises(StorageError, match="^dropbox://photos: .*dropboxdrivefs"):
        Store("dropbox://photos")
    with pytest.raises(StorageError, match="^odd://photos: Protocol not known: odd$"):
        Store("odd://photos")
    with pytest.raises(StorageError, match="a name with two colons is not taken"):
        Store("memory://in/a::b.png")


def test_a_store_lists_reads_and_writes(tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    files.pipe("/urls/a.png", b"0123456789" * 10)
    files.pipe("/urls/sub/[b]*.png", b"1")
    files.pipe("/urls/none.png", b"")
    store = Store("memory://urls")
    assert store.is_folder()
    assert store.look() is None
    assert [each.name for each in store.files(recursive=False)] == ["a.png", "none.png"]
    listed = store.files(recursive=True)
    assert [each.name for each in listed] == ["a.png", "none.png", "sub/[b]*.png"]
    assert [store.look(each.name) for each in listed] == listed
    assert listed[1].state == EMPTY
    assert store.start("a.png") == b"0123456789" * 6 + b"0123"
    store.fetch(tmp_path / "b.png", "sub/[b]*.png")
    store.put(tmp_path / "b.png", "new/.part-0.png")
    store.move("new/.part-0.png", "new/[b]*.png")
    assert files.find("/urls/new") == ["/urls/new/[b]*.png"]
    store.remove("new/[b]*.png")
    store.remove("new/[b]*.png")
    assert Store("memory://urls/new").files(recursive=True) == []
    assert Store("memory://nowhere").files(recursive=True) == []
    assert Store(store.url_of("a.png")).look() is not None
    assert url_name(store.url_of("a.png")) == "a.png"
    files.rm("/urls", recursive=True)


def test_states_are_those_of_stores_and_change_with_the_file() -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    assert urls._state_of({"size": 3, "ETag": '"abc"', "LastModified": when}) == '3 "abc"'
    assert urls._state_of({"size": 3, "created": when}) == f"3 {when.timestamp()}"
    assert urls._state_of({"size": 3}) is None
    assert urls._state_of({"size": None, "ETag": "abc"}) is None


def test_a_store_is_asked_again_after_pauses_that_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setitem(fsspec.config.conf, "flaky", {"secret": "hunter2"})
    expected = urls.PAUSES_S
    with flaky_store(tmp_path, monkeypatch) as flaky:
        monkeypatch.setattr(urls, "PAUSES_S", expected)
        monkeypatch.setattr(time, "sleep", pauses.append)
        (flaky.root / "a.png").write_bytes(b"1")
        flaky.fail("get", "a.png", 6)
        store = Store("flaky://")
        with pytest.raises(StorageError) as caught:
            store.fetch(tmp_path / "a.png", "a.png")
        assert str(caught.value) == "flaky:///a.png: connection lost: signed with ***"
        assert pauses == sorted(pauses) == list(expected)
        store.fetch(tmp_path / "a.png", "a.png")
        assert (tmp_path / "a.png").read_bytes() == b"1"
        pauses.clear()
        with pytest.raises(StorageError, match="^flaky:///gone.png does not exist$"):
            store.fetch(tmp_path / "b.png", "gone.png")
        with pytest.raises(StorageError, match="does not exist"):
            store.move("gone.png", "a.png")
        assert pauses == []


def test_what_libraries_say_is_told_without_what_could_be_secret() -> None:
    store = Store("memory://")
    for error, told in (
        (
            ValueError("403 for https://host/a?X-Signature=hunter2&b=c for you"),
            "403 for https://host/a for you",
        ),
        (OSError("cannot reach ftp://me:hunter2@host/a"), "cannot reach ftp://***@host/a"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (TimeoutError(), "TimeoutError"),
    ):
        assert store._reason(error) == told


def test_missing_credentials_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentialsError(Exception): ...

    def ask() -> None:
        raise NoCredentialsError("Unable to locate credentials")

    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("asked again"))
    with pytest.raises(StorageError, match=r"^s3://b: Unable to locate credentials$"):
        Store("memory://")._asked(ask, "s3://b")
