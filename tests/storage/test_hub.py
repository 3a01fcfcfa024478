import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from polyrestore.errors import BackboneError
from polyrestore.storage.hub import fetch_snapshot, is_hub_name


@pytest.mark.parametrize(
    ("text", "expected"),
    [("owner/model-1.0", True), ("model", False), ("../model", False), ("a/b/c", False), ("/a/b", False)],
)
def test_names_have_an_owner_and_a_model(text: str, expected: bool) -> None:
    assert is_hub_name(text) is expected


def test_the_client_is_asked_for_what_is_wanted_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def give(name: str, **options: object) -> str:
        asked.append((name, options))
        return str(tmp_path)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=give))
    folder = fetch_snapshot(
        "owner/model", ("*.json",), BackboneError, unwanted=("b*",), revision="abc", cached_only=True
    )
    assert folder == tmp_path
    options = {"revision": "abc", "allow_patterns": ["*.json"], "ignore_patterns": ["b*"]}
    assert asked == [("owner/model", {**options, "local_files_only": True})]


@pytest.mark.parametrize(
    ("raised", "reason"), [(OSError("first line\nsecond"), "first line"), (KeyError(), "KeyError")]
)
def test_whatever_the_client_raises_becomes_one_line(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, reason: str
) -> None:
    def fail(name: str, **options: object) -> None:
        raise raised

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=fail))
    with pytest.raises(BackboneError, match=rf"^no model \({reason}\)$"):
        fetch_snapshot("owner/model", (), lambda reason: BackboneError(f"no model ({reason})"))


def test_a_missing_client_is_for_the_caller_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError):
        fetch_snapshot("owner/model", (), BackboneError)
