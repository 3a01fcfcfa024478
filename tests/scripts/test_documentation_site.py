"""The documentation site: every link holds, nothing is fetched from elsewhere, every public name is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("mkdocs")
pytest.importorskip("material")
pytest.importorskip("mkdocstrings")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, for which a link that leads nowhere is an error."""
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return place


class Fetched(HTMLParser):
    """What a browser fetches for a page by itself, and the texts of the anchors for names."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors.add(values.get("id") or "")
        key = {"script": "src", "img": "src", "link": "href"}.get(tag)
        if key and values.get(key):
            self.found.append(values[key] or "")


def test_all_pages_are_there_and_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= {path.relative_to(site) for path in site.rglob("*.html")}
    for page in site.rglob("*.html"):
        fetched = Fetched(page).found
        assert fetched
        assert not [where for where in fetched if re.match(r"(https?:)?//", where)], page


def test_the_reference_has_every_public_name(site: Path) -> None:
    names = {*(ROOT / "tests" / "public_names.txt").read_text(encoding="utf-8").split()}
    anchors = Fetched(site / "reference.html").anchors
    assert {f"polyrestore.{name}" for name in names - {"__version__", "errors"}} <= anchors
    text = (site / "reference.html").read_text(encoding="utf-8")
    assert not re.findall(r":(?:func|class|meth|mod|data|attr):", text)


def test_files_of_the_repository_are_pages_or_copies(site: Path) -> None:
    assert (site / "repository" / "benchmarks" / "results" / "batches.html").is_file()
    copied = site / "repository" / "examples" / "plain_network.py"
    assert copied.read_bytes() == (ROOT / "examples" / "plain_network.py").read_bytes()
    page = (site / "training.html").read_text(encoding="utf-8")
    assert 'href="repository/examples/plain_network.py"' in page


def test_a_page_that_is_not_listed_is_shown_and_one_that_is_missing_is_not(tmp_path: Path) -> None:
    from mkdocs.config import load_config

    from scripts import documentation_site

    (tmp_path / "docs").mkdir()
    for name in ("index.md", "restoring.md", "brand_new.md"):
        (tmp_path / "docs" / name).write_text("# Title\n")
    config = load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(tmp_path / "docs"))
    changed = documentation_site.on_config(config)
    assert changed.nav == [
        {"Overview": "index.md"},
        {"Photographs": [{"Restoring": "restoring.md"}]},
        {"Programs": [{"Reference": "reference.md"}]},
        {"More": ["brand_new.md"]},
    ]
