"""What docs/app.md says runs, and its tables name what there is."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from polyrestore.app import server
from polyrestore.app.engine import Engine
from polyrestore.app.limits import Limits
from polyrestore.app.refusals import STATUS
from polyrestore.bulk.one_file import RestoreTask
from polyrestore.cli.main import run
from tests.app.conftest import OpenTask, Site, picture
from tests.test_readme import ROOT, commands, fenced

DOCUMENT = "docs/app.md"
TEXT = (ROOT / DOCUMENT).read_text(encoding="utf-8")


def test_the_commands_run(
    bundle: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[str | None] = []

    class Ended:
        def run(self, **options: Any) -> None:
            raise KeyboardInterrupt

    def make_server(engine: Engine, bound: Any, *, token: str | None) -> Ended:
        served.append(token)
        return Ended()

    def open_bundle(task: RestoreTask) -> Any:
        return OpenTask(bundle=bundle).open()

    monkeypatch.setattr(server, "make_server", make_server)
    monkeypatch.setattr(RestoreTask, "open", open_bundle)
    for command in commands(DOCUMENT, "console"):
        with monkeypatch.context() as patch:
            while "=" in command[0]:
                patch.setenv(*command.pop(0).split("=", 1))
            if command[0] == "polyrestore":
                assert run(command[1:]) == 0, capsys.readouterr().err
    assert served == [None, "twelve or more letters"]
    assert "http://127.0.0.1:7860/" in capsys.readouterr().out
    assert "'polyrestore[app]'" in TEXT


def test_the_python_restores(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(picture("photo.jpg"))
    (code,) = fenced(DOCUMENT, "python")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code.replace("http://127.0.0.1:7860/", site.url), {})
    assert printed.getvalue() == "{'noise': 1.0}\n"
    assert Path("restored.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_the_tables_name_what_there_is(site: Site) -> None:
    paths = site.ask("/api/openapi.json").json["paths"]
    described = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert set(re.findall(r"`((?:GET|POST) /[\w/{}]+)`", TEXT)) == described
    options = set(re.findall(r"^\| `--([\w-]+)` \|", TEXT, re.MULTILINE))
    assert options == {name.replace("_", "-") for name in Limits.__dataclass_fields__}
    assert all(f"`{code}`" in TEXT for code in STATUS)
    limits = Limits()
    for number in (limits.max_mb, limits.max_megapixels, limits.queue, limits.seconds, limits.receive_s):
        assert re.search(rf"\b{number:g}\b", TEXT)
