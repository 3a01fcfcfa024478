"""What the documentation site has beside docs/: the reference, and the files that its pages link to.

MkDocs runs these functions (``hooks`` in mkdocs.yml). On a forge the pages are read as they lie in docs/.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
NAMES = ROOT / "tests" / "public_names.txt"
REFERENCE = "reference.md"
NO_ENTRIES = ("__version__", "errors")
# Where copies of files outside docs/ are on the site.
COPIES = "repository"

_LINK = re.compile(r"\]\(([^)\s#:]+)(#[^)\s]*)?\)")
# What Sphinx would make of a reference; on the site the name alone is enough.
_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):<code>~?((?:\w+\.)*)(\w+)</code>")
_TITLES = {"": "Restoring, bundles, training", "testing": "Checking plugins", "errors": "Errors"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave pages out of the navigation that are not there, and put those in that it does not list."""
    folder = Path(config.docs_dir)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.md")} | {REFERENCE}
    listed: set[str] = set()

    def kept(entries: list[Any]) -> list[Any]:
        found = []
        for entry in entries:
            for title, value in entry.items() if isinstance(entry, dict) else [(None, entry)]:
                if isinstance(value, list):
                    inside = kept(value)
                    found += [{title: inside}] if inside else []
                elif value in there:
                    listed.add(value)
                    found.append(entry)
        return found

    config.nav = kept(config.nav or [])
    others = sorted(there - listed)
    if others:
        config.nav.append({"More": others})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference, and copies of the files outside docs/ that pages link to, pages among them."""
    files.append(File.generated(config, REFERENCE, content=reference_text()))
    waiting = [ROOT / "docs" / file.src_uri for file in files.documentation_pages() if file.abs_src_path]
    while waiting:
        page = waiting.pop()
        for target in outside(page):
            uri = f"{COPIES}/{target.relative_to(ROOT).as_posix()}"
            if files.get_file_from_path(uri) is None:
                copy = File.generated(config, uri, abs_src_path=str(target))
                copy.inclusion = InclusionLevel.NOT_IN_NAV
                files.append(copy)
                waiting += [target] if target.suffix == ".md" else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to files outside docs/ lead to their copies."""
    uri = page.file.src_uri
    source = ROOT / (uri.removeprefix(f"{COPIES}/") if uri.startswith(f"{COPIES}/") else f"docs/{uri}")

    def led(link: re.Match[str]) -> str:
        target = (source.parent / link[1]).resolve()
        if ROOT not in target.parents:
            return link[0]
        where = target.relative_to(ROOT).as_posix()
        inside = where.startswith("docs/")
        there = where.removeprefix("docs/") if inside else f"{COPIES}/{where}"
        return f"]({posixpath.relpath(there, posixpath.dirname(uri) or '.')}{link[2] or ''})"

    return _LINK.sub(led, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show the names alone where docstrings refer to others."""
    return _ROLE.sub(r"<code>\2</code>", html)


def outside(page: Path) -> Iterator[Path]:
    """Yield the files of the repository outside docs/ that a page links to."""
    for link in _LINK.finditer(page.read_text(encoding="utf-8")):
        target = (page.parent / link[1]).resolve()
        if target.is_file() and ROOT in target.parents and ROOT / "docs" not in target.parents:
            yield target


def reference_text() -> str:
    """Return the page from which the reference of all public names is made."""
    names = [name for name in NAMES.read_text(encoding="utf-8").split() if name not in NO_ENTRIES]
    lines = ["# Reference", "", "These names are public; one disappears only with a line in the changelog."]
    for group, title in _TITLES.items():
        lines += ["", f"## {title}"]
        lines += [f"\n::: polyrestore.{name}" for name in names if name.rpartition(".")[0] == group]
    return "\n".join(lines) + "\n"
