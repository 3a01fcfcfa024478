"""Images in, images out: the same bytes as the command line writes, and clear words for what is none."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from polyrestore import __version__
from polyrestore.app.api import REPORT_HEADER
from polyrestore.app.engine import file_name
from polyrestore.cli.main import run
from polyrestore.imaging import read_image
from tests.app.conftest import Site, picture


def by_command(folder: Path, bundle: str, name: str, content: bytes, *options: str) -> tuple[str, bytes]:
    """Return the name and the bytes of what the command line writes."""
    (folder / name).write_bytes(content)
    assert run(["restore", str(folder / name), "-o", str(folder / "out"), "--bundle", bundle, *options]) == 0
    (result,) = [
        path for path in (folder / "out").iterdir() if path.suffix != ".jsonl" and path.name[0] != "."
    ]
    return result.name, result.read_bytes()


EXIF = (
    b"II*\x00\x08\x00\x00\x00\x01\x00\x0e\x01\x02\x00\x05\x00\x00\x00\x1a\x00\x00\x00\x00\x00\x00\x00cats\x00"
)


@pytest.mark.parametrize(
    ("name", "facts", "parameters", "options"),
    [
        ("a.png", {"dpi": (300.0, 300.0)}, {}, []),
        ("b c.jpg", {"exif": EXIF}, {"as": "rain"}, ["--as", "rain"]),
        (
            "d.tif",
            {"bit_depth": 16},
            {"as": "noise=0.6,rain=0.2", "strength": 0.5},
            ["--as", "noise=0.6,rain=0.2", "--strength", "0.5"],
        ),
        (
            "e.png",
            {"grey": True},
            {"quality": "best", "format": "jpeg", "jpeg_quality": 80},
            ["--quality", "best", "--format", "jpeg", "--jpeg-quality", "80"],
        ),
        ("f.png", {}, {"as": "rain", "scale": 2}, ["--as", "rain", "--scale", "2"]),
    ],
)
def test_the_result_is_that_of_the_command_line(
    site: Site,
    bundle: str,
    tmp_path: Path,
    name: str,
    facts: dict[str, Any],
    parameters: dict[str, Any],
    options: list[str],
) -> None:
    content = picture(name, **facts)
    answer = site.ask("/api/restore", content, name=name, **parameters)
    assert answer.status == 200, answer.body
    expected = by_command(tmp_path, bundle, name, content, *options)
    report = json.loads(answer.headers[REPORT_HEADER.lower()])
    assert (report["name"], answer.body) == expected
    assert report["sha256"] == hashlib.sha256(expected[1]).hexdigest()
    scale = parameters.get("scale", 1)
    assert (report["width"], report["height"], report["unchanged"]) == (40 * scale, 30 * scale, False)
    assert answer.headers["content-type"].startswith("image/")
    assert answer.headers["content-disposition"].startswith("attachment")


def test_what_is_large_takes_the_other_lane_with_the_same_result(
    site: Site, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = picture(width=90, height=70)
    monkeypatch.setattr(site.engine, "preview_px", 64)
    monkeypatch.delattr(site.engine, "_small")
    expected = by_command(tmp_path, bundle, "photo.png", content, "--as", "rain")[1]
    assert site.ask("/api/restore", content, name="photo.png", as_="rain").body == expected


def test_json_holds_the_same(site: Site) -> None:
    content = picture()
    plain = site.ask("/api/restore", content, name="photo.png")
    answer = site.ask("/api/restore", content, name="photo.png", answer="json").json
    assert base64.b64decode(answer.pop("image")) == plain.body
    report = json.loads(plain.headers[REPORT_HEADER.lower()])
    assert {**answer, "seconds": 0} == {**report, "seconds": 0}


def test_strength_0_gives_the_upload_back(site: Site) -> None:
    content = picture()
    answer = site.ask("/api/restore", content, strength=0)
    report = json.loads(answer.headers[REPORT_HEADER.lower()])
    assert answer.body == content
    assert report["unchanged"]
    assert [note["code"] for note in report["notes"]][:1] == ["unchanged"]


def test_what_is_recognised_is_what_inspect_says(
    site: Site, bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = picture(width=300, height=200)
    (tmp_path / "photo.png").write_bytes(content)
    assert run(["inspect", str(tmp_path / "photo.png"), "--bundle", bundle, "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["files"]
    answer = site.ask("/api/recognise", content, name="photo.png", preview_px=100).json
    for name in ("width", "height", "weights", "probabilities", "uncertain", "severities"):
        assert answer[name] == said[name]
    preview = read_image(base64.b64decode(answer["preview"]))
    assert preview.pixels.shape == (3, 67, 100)
    assert site.ask("/api/recognise", content).json["preview"] is None


def test_a_format_that_browsers_do_not_show_is_reduced_to_one_that_they_do(site: Site) -> None:
    answer = site.ask("/api/preview", picture("a.tif", 80, 40, bit_depth=16), side_px=20)
    assert answer.headers["content-type"] == "image/png"
    assert read_image(answer.body).pixels.shape == (3, 10, 20)
    assert read_image(site.ask("/api/preview", picture(grey=True)).body).metadata.grey


def test_the_bundle_and_the_state_are_told(site: Site) -> None:
    found = site.ask("/api/bundle").json
    assert (found["name"], found["adapters"]) == ("tiny", ["downsampling", "noise", "rain"])
    assert found["scales"] == [1, 2, 3, 4]
    assert found["limits"]["max_megapixels"] == 20
    assert {"png", "jpeg", "tiff"} <= set(found["formats"])
    assert site.ask("/api/health").json == {
        "status": "ok",
        "version": __version__,
        "waiting": 0,
        "running": 0,
    }


def test_examples_are_photographs_that_were_damaged(site: Site) -> None:
    names = [example["name"] for example in site.ask("/api/examples").json]
    assert len(names) >= 4
    for name in names:
        answer = site.ask(f"/api/examples/{name}")
        image = read_image(answer.body)
        assert min(image.pixels.shape[1:]) >= 256
        assert site.ask(f"/api/examples/{name}").body == answer.body
    assert site.ask("/api/examples/dog").code == "not_found"


def giant_png(width: int, height: int) -> bytes:
    """Return a few bytes that announce a large picture."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = [
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (head, data)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("content", "parameters", "status", "code"),
    [
        (b"no image at all", {}, 422, "not_an_image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, {}, 422, "image"),
        (picture()[:-200], {}, 422, "image"),
        (giant_png(20_000, 10_000), {}, 413, "image_too_large"),
        (b"", {}, 422, "empty"),
        (b"x" * 5_000_001, {}, 413, "too_many_bytes"),
        (picture(), {"as": "fog"}, 422, "composition"),
        (picture(), {"as": "rain,rain"}, 422, "notation"),
        (picture(), {"as": "rain=0.9,noise=0.9"}, 422, "composition"),
        (picture(), {"strength": 2}, 422, "invalid"),
        (picture(), {"strength": "nan"}, 422, "invalid"),
        (picture(), {"quality": "better"}, 422, "invalid"),
        (picture(), {"scale": 5}, 422, "invalid"),
        (giant_png(2000, 1300), {"scale": 4}, 413, "image_too_large"),
        (picture(), {"format": "docx"}, 422, "unknown_format"),
        (picture(), {"job": "../../x"}, 422, "invalid"),
    ],
)
def test_what_cannot_be_done_has_a_code_and_a_line(
    site: Site, content: bytes, parameters: dict[str, Any], status: int, code: str
) -> None:
    answer = site.ask("/api/restore", content, method="POST", **parameters)
    assert (answer.status, answer.code) == (status, code)
    message = answer.json["error"]["message"]
    assert message
    assert "\n" not in message
    assert "--max" not in message
    if not parameters and (status == 422 or code == "image_too_large"):
        for path in ("/api/recognise", "/api/preview"):
            answer = site.ask(path, content, method="POST")
            assert (answer.status, answer.code) == (status, code)


def test_what_is_not_there_is_said_likewise(site: Site) -> None:
    assert site.ask("/api/nothing").code == "not_found"
    assert site.ask("/nothing.html").code == "not_found"
    assert site.ask("/../pyproject.toml").code == "not_found"
    assert site.ask("/api/restore").code == "method_not_allowed"
    assert site.ask("/api/jobs/12345678").code == "not_found"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("C:\\photos\\a.jpg", "a.jpg"),
        ("../../etc/passwd", "passwd"),
        ("a\r\nb\x00.png", "ab.png"),
        ("..", "image"),
        ("", "image"),
        ("é" * 300, "é" * 100),
        ("\ud800.png", ".png"),
    ],
)
def test_names_are_names_of_files(given: str, name: str) -> None:
    assert file_name(given) == name
