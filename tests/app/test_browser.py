"""The page in a real browser: what people do with it, and what it looks like to them."""

from __future__ import annotations

import re
import shlex
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage
from playwright.sync_api import Browser, FileChooser, FilePayload, Page, expect, sync_playwright

from polyrestore.cli.main import run
from tests.app.conftest import Serve, Site, picture

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """Open the page; at the end, nothing else may have been asked for, and nothing have failed."""
    foreign: list[str] = []
    failures: list[str] = []
    contexts = []

    def open_page(url: str = site.url, **facts: Any) -> Page:
        context = browser.new_context(
            **({"locale": "en-GB", "viewport": {"width": 1200, "height": 900}} | facts)
        )
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        own = (url, "blob:", "data:")
        page.on(
            "request", lambda request: None if request.url.startswith(own) else foreign.append(request.url)
        )
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert (foreign, failures) == ([], [])


def upload(name: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": "", "buffer": content}


def drop(page: Page, *files: FilePayload) -> None:
    page.locator("body[data-ready]").wait_for()
    page.set_input_files("#files", list(files))


def wait_for_result(page: Page) -> None:
    page.locator("#download[aria-disabled=false]").wait_for()


def download(page: Page, folder: Path, press: Callable[[], None]) -> tuple[str, bytes]:
    with page.expect_download() as caught:
        press()
    target = folder / "downloaded"
    caught.value.save_as(target)
    return caught.value.suggested_filename, target.read_bytes()


def by_shown_command(page: Page, folder: Path, bundle: str, content: bytes) -> tuple[str, bytes]:
    """Run the command that the page shows, and return what it writes."""
    program, *arguments = shlex.split(page.locator("#command").text_content() or "")
    assert program == "polyrestore"
    name = arguments[1]
    (folder / name).write_bytes(content)
    arguments[1] = str(folder / name)
    arguments[3] = str(folder / "restored")
    assert run([*arguments, "--bundle", bundle]) == 0
    (result,) = [path for path in (folder / "restored").iterdir() if path.suffix in (".png", ".jpg", ".tif")]
    return result.name, result.read_bytes()


def test_a_photograph_is_restored_compared_changed_and_downloaded(
    visit: Callable[..., Page], bundle: str, tmp_path: Path
) -> None:
    page, content = visit(), picture("photo.jpg", 300, 200)
    drop(page, upload("my photo.jpg", content))
    wait_for_result(page)
    expect(page.locator("#state")).to_contain_text("Restored in full")
    blind = download(page, tmp_path, page.locator("#download").click)
    assert blind == by_shown_command(page, tmp_path, bundle, content)

    split = page.locator("#split")
    split.press("ArrowRight")
    assert "51%" in (page.locator("#pictures").get_attribute("style") or "")
    box = page.locator("#pictures").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    assert split.input_value() == "25"

    shown = page.locator("#after").get_attribute("src")
    bar = page.locator("#bars input").first
    for _ in range(3):
        bar.press("ArrowLeft")
    page.locator(f'#after:not([src="{shown}"])').wait_for()
    expect(page.locator("#summary")).to_have_text("Moved by hand.")
    page.locator("#strength").press("ArrowLeft")
    wait_for_result(page)
    moved = download(page, tmp_path, page.locator("#download").click)
    assert "--strength 0.99" in (page.locator("#command").text_content() or "")
    shutil.rmtree(tmp_path / "restored")
    assert moved == by_shown_command(page, tmp_path, bundle, content)
    assert moved != blind
    page.locator("#reset").click()
    expect(page.locator("#reset")).to_be_disabled()


def test_an_enlarged_photograph_is_that_of_the_shown_command(
    visit: Callable[..., Page], bundle: str, tmp_path: Path
) -> None:
    page, content = visit(), picture("small.png", 60, 40)
    drop(page, upload("small.png", content))
    wait_for_result(page)
    for bar in page.locator("#bars input, #other-bars input").all():
        bar.evaluate("bar => { bar.value = 0; bar.dispatchEvent(new Event('input')); }")
    page.locator("#scale").select_option("2")
    expect(page.locator("#command")).to_have_text(re.compile("--as downsampling --scale 2"))
    wait_for_result(page)
    made = download(page, tmp_path, page.locator("#download").click)
    assert made == by_shown_command(page, tmp_path, bundle, content)
    (tmp_path / made[0]).write_bytes(made[1])
    with PillowImage.open(tmp_path / made[0]) as opened:
        assert opened.size == (120, 80)


def test_several_are_restored_one_after_another_into_a_zip_file(
    visit: Callable[..., Page], site: Site, tmp_path: Path
) -> None:
    page = visit()
    contents = [picture("a.tif", 60, 50, seed=seed, bit_depth=16) for seed in range(3)]
    drop(page, *(upload("a.tif", content) for content in contents), upload("b.jpg", b"no image"))
    page.locator("#zip:enabled").wait_for()
    expect(page.locator("#batch-state")).to_have_text("3 of 4 restored, 1 not")
    expect(page.locator("#items .failed .how")).to_have_text(
        "Not restored: This is no image file that can be read."
    )
    # No browser shows TIFF: a reduced copy is shown in its place.
    assert page.locator("#after").evaluate("image => image.decode().then(() => image.naturalWidth)") == 60
    name, content = download(page, tmp_path, page.locator("#zip").click)
    assert name == "restored.zip"
    with zipfile.ZipFile(tmp_path / "downloaded") as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    expected = [site.ask("/api/restore", content, name="a.tif").body for content in contents]
    assert found == dict(zip(("a.tif", "a-2.tif", "a-3.tif"), expected, strict=True))
    page.locator("#items .remove").nth(1).click()
    expect(page.locator("#items li")).to_have_count(3)
    page.locator("#clear").click()
    expect(page.locator("#work")).to_be_hidden()


def choose_file(page: Page) -> FileChooser:
    """Press the key that opens the chooser, again where a busy browser has not heard it."""
    opened: list[FileChooser] = []
    # One that opens late is still the answer to an earlier press, and no second one opens beside it.
    page.on("filechooser", lambda chooser: opened.append(chooser))
    for _ in range(3):
        page.keyboard.press("Enter")
        for _ in range(150):
            page.wait_for_timeout(100)
            if opened:
                return opened[0]
    raise AssertionError("no file chooser opens")


def test_the_keyboard_alone_is_enough(visit: Callable[..., Page], tmp_path: Path) -> None:
    page = visit()
    page.locator("body[data-ready]").wait_for()

    def go_to(wanted: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == wanted:
                return
        raise AssertionError(f"Tab does not lead to {wanted}")

    go_to("files")
    choose_file(page).set_files([upload("photo.png", picture())])
    wait_for_result(page)
    go_to("split")
    page.keyboard.press("End")
    assert "100%" in (page.locator("#pictures").get_attribute("style") or "")
    go_to(page.locator("#bars input").first.get_attribute("id") or "")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#summary")).to_have_text("Moved by hand.")
    go_to("strength")
    page.keyboard.press("ArrowLeft")
    wait_for_result(page)
    go_to("download")
    assert page.locator("#download").evaluate("link => getComputedStyle(link).outlineStyle") != "none"
    assert download(page, tmp_path, lambda: page.keyboard.press("Enter"))[0] == "photo.png"


def test_a_telephone_and_chinese_and_the_dark(visit: Callable[..., Page]) -> None:
    page = visit(viewport={"width": 390, "height": 844}, locale="zh-CN", color_scheme="dark", has_touch=True)
    drop(page, upload("一张照片.png", picture()), upload("坏的.jpg", b"no image"))
    page.locator("#zip:enabled").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    expect(page.locator("#items .failed .how")).to_have_text("未能修复：这不是可以读取的图像文件。")
    expect(page.locator("label[for=bar-noise]")).to_contain_text("噪点")
    shown = page.locator("main").inner_text()
    english = set(re.findall(r"[A-Za-z]{3,}", shown)) - {"JPEG", "PNG", "TIFF", "WebP", "HEIC", "RAW"}
    assert english <= {"AVIF", "BMP", "GIF", "HEIF", "WEBP", "jpg", "png", "zip"}, english
    low = [
        element.get_attribute("id")
        for element in page.locator("main button:visible, main select:visible, #download").all()
        if (element.bounding_box() or {"height": 0})["height"] < 32
    ]
    assert low == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 25, 26)"
    page.select_option("#language", "en")
    expect(page.locator("#items .failed .how")).to_contain_text("This is no image file")


def test_what_is_too_large_is_said_before_it_is_sent(visit: Callable[..., Page]) -> None:
    page = visit()
    drop(page, upload("large.tif", b"x" * 5_100_000))
    expect(page.locator("#failure")).to_contain_text("5 MB are the most")
    expect(page.locator("#stage")).to_be_hidden()


def test_an_example_is_one_click_away(visit: Callable[..., Page]) -> None:
    page = visit()
    page.locator("#examples button").first.click()
    wait_for_result(page)
    expect(page.locator("#after")).to_have_attribute("alt", "cat-noise.png, restored")


def test_a_form_asks_for_the_token(visit: Callable[..., Page], serve: Serve) -> None:
    page = visit(serve(token="a token of our own").url)
    page.locator("#token").fill("wrong but long enough")
    page.keyboard.press("Enter")
    page.wait_for_url("**/login?wrong")
    page.locator("#token").fill("a token of our own")
    page.keyboard.press("Enter")
    page.locator("body[data-ready]").wait_for()
    assert "token" not in page.url
