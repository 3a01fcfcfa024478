"""Who may ask: this page only, and from elsewhere those who know the token."""

from __future__ import annotations

import time
from urllib.parse import urlencode

import pytest
from starlette.datastructures import Headers

from polyrestore.app.guard import COOKIE, SECURITY_HEADERS, find_foreign, is_loopback
from polyrestore.app.server import open_socket, require_token
from polyrestore.errors import ServiceError
from tests.app.conftest import Serve, Site, picture

TOKEN = "a token of our own"


@pytest.fixture(scope="module")
def locked(serve: Serve) -> Site:
    return serve(token=TOKEN)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Host": "evil.example"}, False),
        ({"Host": "evil.example:7860"}, False),
        ({"Host": "localhost"}, True),
        ({"Host": "[::1]:7860"}, True),
        ({"Host": "127.0.0.1.evil.example"}, False),
        ({"Host": "[:"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://[:"}, False),
        ({"Host": "localhost:7860", "Origin": "http://localhost:7860"}, True),
        ({"Host": "localhost:7860", "Origin": "http://localhost:8000"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
    ],
)
def test_other_pages_in_the_same_browser_are_refused(
    site: Site, headers: dict[str, str], allowed: bool
) -> None:
    answer = site.ask("/api/restore", b"no image", headers=headers)
    assert answer.code == ("not_an_image" if allowed else "forbidden")
    assert SECURITY_HEADERS.items() >= {"X-Content-Type-Options": "nosniff"}.items()
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name.lower()] == value


def test_a_link_on_another_page_may_lead_here() -> None:
    came = Headers({"host": "127.0.0.1:7860", "sec-fetch-site": "cross-site"})
    assert find_foreign(came, "GET", loopback=True) is None
    assert find_foreign(came, "POST", loopback=True) is not None
    elsewhere = Headers({"host": "studio.example"})
    assert find_foreign(elsewhere, "GET", loopback=False) is None
    assert find_foreign(elsewhere, "GET", loopback=True) is not None


def test_a_token_is_needed_where_there_is_one(locked: Site) -> None:
    refused = locked.ask("/api/restore", picture())
    assert (refused.status, refused.code) == (401, "unauthorized")
    assert refused.headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xe9"):
        assert locked.ask("/api/bundle", headers={"Authorization": wrong}).status == 401
    assert locked.ask("/api/bundle", token=TOKEN).status == 401
    assert locked.ask("/api/bundle", headers={"Authorization": f"bearer {TOKEN}"}).status == 200
    assert locked.ask("/api/openapi.json").status == 401
    assert locked.ask("/api/health").json["status"] == "ok"


def log_in(site: Site, token: str, **headers: str) -> dict[str, str]:
    form = urlencode({"token": token}).encode()
    return site.ask(
        "/login", form, headers={"Content-Type": "application/x-www-form-urlencoded", **headers}
    ).headers


def test_the_page_is_opened_by_a_form_and_a_cookie(locked: Site) -> None:
    sent_on = locked.ask("/")
    assert (sent_on.status, sent_on.headers["location"]) == (303, "login")
    assert b'type="password"' in locked.ask("/login").body
    assert locked.ask("/style.css").status == 200
    assert locked.ask("/main.js").status == 303

    started = time.monotonic()
    wrong = log_in(locked, "something else")
    assert time.monotonic() - started > 0.9
    assert wrong["location"] == "login?wrong"
    assert "set-cookie" not in wrong
    assert "set-cookie" not in log_in(locked, TOKEN, Origin="https://evil.example")

    right = log_in(locked, TOKEN)
    cookie = right["set-cookie"].partition(";")[0]
    assert cookie.startswith(f"{COOKIE}=")
    assert TOKEN not in right["set-cookie"]
    assert {"httponly", "samesite=strict"} <= {
        part.strip().lower() for part in right["set-cookie"].split(";")
    }
    assert locked.ask("/", headers={"Cookie": cookie}).status == 200
    assert locked.ask("/api/restore", picture(), headers={"Cookie": cookie}).status == 200
    assert locked.ask("/api/bundle", headers={"Cookie": cookie + "x"}).status == 401
    assert locked.ask("/login", b"x" * 20_000).code == "too_many_bytes"


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_other_machines_need_a_token(host: str, own: bool) -> None:
    assert is_loopback(host) is own
    require_token(host, TOKEN)
    with pytest.raises(ServiceError, match="characters"):
        require_token(host, "short")
    if own:
        require_token(host, None)
    else:
        with pytest.raises(ServiceError, match="--token"):
            require_token(host, None)


def test_a_port_that_is_taken_and_an_address_of_others_are_refused() -> None:
    with open_socket("127.0.0.1", 0) as first, pytest.raises(ServiceError, match="port .* in use.*--port"):
        open_socket("127.0.0.1", first.getsockname()[1])
    with pytest.raises(ServiceError, match=r"192\.0\.2\.1"):
        open_socket("192.0.2.1", 0)
