"""Everything that the page says, it says in both languages; and it asks nobody else for anything."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from polyrestore import errors
from polyrestore.app.examples import EXAMPLES
from polyrestore.app.page_files import PAGE, PHOTOGRAPHS
from polyrestore.app.refusals import FROM_ERRORS, STATUS, RefusedError, refusal_of
from polyrestore.degradations import DEGRADATIONS
from polyrestore.errors import (
    CompositionError,
    DeviceMemoryError,
    ImageTooLargeError,
    MissingExtraError,
    NotAnImageError,
    StoppedError,
)
from polyrestore.notes import MEANINGS


class Elements(HTMLParser):
    """Collects the elements of a page, and the text of those with a word."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, str] = {}
        self._word: str | None = None
        self.feed((PAGE / name).read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.found.append((tag, values))
        self._word = values.get("data-word")

    def handle_data(self, data: str) -> None:
        if self._word is not None:
            self.words[self._word] = data
        self._word = None


INDEX = Elements("index.html")
ENGLISH = INDEX.words | json.loads((PAGE / "words" / "en.json").read_text(encoding="utf-8"))
CHINESE = json.loads((PAGE / "words" / "zh.json").read_text(encoding="utf-8"))
SCRIPTS = "\n".join(path.read_text(encoding="utf-8") for path in sorted(PAGE.glob("*.js")))


def places(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_both_languages_have_the_same_words_with_the_same_values() -> None:
    assert ENGLISH.keys() <= CHINESE.keys()
    for key, text in ENGLISH.items():
        assert places(text) == places(CHINESE[key]), key
        assert re.search(r"[\u4e00-\u9fff]", CHINESE[key]) or key == "title-working", key
    more = CHINESE.keys() - ENGLISH.keys()
    assert {key.partition(".")[0] for key in more} == {"error", "example", "note"}


def test_the_scripts_use_words_that_there_are() -> None:
    used = set(re.findall(r"\bword\(\s*\"([\w.-]+)\"", SCRIPTS))
    assert len(used) > 10
    assert used <= ENGLISH.keys()


def test_codes_and_names_have_words() -> None:
    codes = STATUS.keys() | FROM_ERRORS.keys()
    assert {f"error.{code}" for code in codes} <= CHINESE.keys()
    assert {f"note.{code}" for code in MEANINGS} <= CHINESE.keys()
    assert {f"degradation.{name}" for name in DEGRADATIONS} <= ENGLISH.keys()
    assert {f"example.{name}" for name in EXAMPLES} <= CHINESE.keys()
    known = {each.code for name, each in vars(errors).items() if name.endswith("Error")}
    assert FROM_ERRORS.keys() <= known
    # That one is both: the page is being closed, or nobody waits any more.
    assert STATUS.keys() & known == {"stopped"}


@pytest.mark.parametrize("name", ["index.html", "login.html"])
def test_whatever_is_asked_for_is_named_and_lies_beside_the_page(name: str) -> None:
    elements = Elements(name).found
    ids = {values["id"] for _, values in elements if "id" in values}
    labelled = {values.get("for") for tag, values in elements if tag == "label"}
    for tag, values in elements:
        for attribute in ("src", "href"):
            address = values.get(attribute)
            if address and not address.startswith("#"):
                assert (PAGE / address).is_file() or address == "api/openapi.json"
        if (
            tag in ("input", "select")
            and values.get("type") not in ("radio",)
            and values.get("id") != "split"
        ):
            named = values.get("id") in labelled or values.get("id") == "language"
            assert named, values
        if tag == "img":
            assert "alt" in values
        assert not [attribute for attribute in values if attribute.startswith("on") or attribute == "style"]
        for attribute in ("aria-labelledby", "for"):
            if values.get(attribute):
                assert values[attribute] in ids
    assert ("html", {"lang": "en"}) in elements


def test_no_address_is_in_the_page_but_names_of_namespaces() -> None:
    for path in PAGE.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert "://" not in text, path.name
            assert len(text.splitlines()) <= 400, path.name


def test_the_photographs_of_the_examples_have_licences() -> None:
    text = (PHOTOGRAPHS / "LICENCES.md").read_text(encoding="utf-8")
    files = {path.name for path in PHOTOGRAPHS.glob("*.jpg")}
    assert files == {example.photograph for example in EXAMPLES.values()}
    assert files == set(re.findall(r"`(\w+\.jpg)`", text))


@pytest.mark.parametrize(
    ("error", "status", "code", "values"),
    [
        (RefusedError("busy", "full", {"seconds": 2}, retry_after_s=2), 503, "busy", {"seconds": 2}),
        (StoppedError("gone"), 503, "stopped", {}),
        (DeviceMemoryError("none left"), 507, "out_of_memory", {}),
        (
            ImageTooLargeError("a: large; --max-megapixels 9 raises it"),
            413,
            "image_too_large",
            {"max_megapixels": 7.0},
        ),
        (NotAnImageError("a: none"), 422, "not_an_image", {}),
        (MissingExtraError("reading", "rawpy", "raw"), 422, "missing_extra", {"extra": "raw"}),
        (CompositionError("the bundle has no adapter"), 422, "composition", {}),
    ],
)
def test_errors_become_refusals_with_their_codes(
    error: errors.PolyrestoreError, status: int, code: str, values: dict[str, object]
) -> None:
    refusal = refusal_of(error, 7.0)
    assert (refusal.status, refusal.word, refusal.values) == (status, code, values)
    assert "--max" not in str(refusal)
