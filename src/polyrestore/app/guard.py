"""Who may ask: the same page only, and from other machines only those who know the token.

A page of another site that is open in the same browser can send requests to this machine, and by letting its
own name point here even read the answers. Both show in the headers: the name in ``Host``, the site in
``Origin`` or ``Sec-Fetch-Site``.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polyrestore.app.page_files import PAGE
from polyrestore.app.refusals import RefusedError

SHORTEST_TOKEN = 12
"""How many characters a token has at least."""

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With "no-referrer", browsers name "null" as the origin of a form.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""What every answer is sent with: nothing from elsewhere is loaded, and nothing is kept."""

COOKIE = "polyrestore_session"
_LARGEST_FORM_BYTES = 10_000
_WRONG_TOKEN_S = 1.0
_OPEN_PATHS = ("/login", "/style.css", "/api/health")


def is_loopback(host: str) -> bool:
    """Say whether an address or a name is this machine's own, out of reach of others."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Guard:
    """An ASGI application around another one, which gets only what is allowed.

    Args:
        app: the application.
        loopback: whether only this machine can reach it.
        token: what others have to know; None where nobody needs one.
    """

    def __init__(self, app: ASGIApp, *, loopback: bool, token: str | None) -> None:
        self._app = app
        self._loopback = loopback
        self._token = token
        self._session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application answer it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        request = Request(scope, receive)
        answer = await self._answer(request)
        await (self._app if answer is None else answer)(scope, receive, send_safely)

    async def _answer(self, request: Request) -> Response | None:
        """Return what a request is answered with in the application's place, None if it is allowed."""
        reason = find_foreign(request.headers, request.method, loopback=self._loopback)
        if reason is not None:
            return _refuse("forbidden", reason)
        if self._token is None:
            return None
        path = request.url.path
        if path == "/login" and request.method == "POST":
            return await self._log_in(request, self._token)
        if path == "/login" and request.method in ("GET", "HEAD"):
            return FileResponse(PAGE / "login.html")
        if path in _OPEN_PATHS or self._is_known(request, self._token):
            return None
        if request.method in ("GET", "HEAD") and not path.startswith("/api/"):
            return RedirectResponse("login", status_code=303)
        return _refuse("unauthorized", "a token is needed: Authorization: Bearer TOKEN")

    def _is_known(self, request: Request, token: str) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _equal(given.strip(), token):
            return True
        return _equal(request.cookies.get(COOKIE, ""), self._session)

    async def _log_in(self, request: Request, token: str) -> Response:
        form = b""
        async for part in request.stream():
            form += part
            if len(form) > _LARGEST_FORM_BYTES:
                return _refuse("too_many_bytes", "the form is too large")
        given = parse_qs(form.decode("utf-8", "replace")).get("token", [""])[0]
        if not _equal(given.strip(), token):
            # Nobody guesses many in this way.
            await asyncio.sleep(_WRONG_TOKEN_S)
            return RedirectResponse("login?wrong", status_code=303)
        answer = RedirectResponse(".", status_code=303)
        answer.set_cookie(COOKIE, self._session, httponly=True, samesite="strict")
        return answer


def find_foreign(headers: Headers, method: str, *, loopback: bool) -> str | None:
    """Return why a request does not come from the page itself, None if it may.

    Args:
        headers: of the request.
        method: of the request.
        loopback: whether the page is reached under names of this machine only.
    """
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if loopback and not is_loopback(name):
        return f"the host {host[:100]!r} is not this machine"
    origin = headers.get("origin")
    if origin is not None and urlsplit_netloc(origin) != host.lower():
        return f"the request comes from {origin[:100]!r}"
    site = headers.get("sec-fetch-site", "none")
    if method not in ("GET", "HEAD") and site not in ("same-origin", "none"):
        return "the request comes from another site"
    return None


def urlsplit_netloc(origin: str) -> str:
    """Return host and port of an origin, empty where it has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _equal(given: str, wanted: str) -> bool:
    """Compare in a time that does not depend on where the two differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode("utf-8", "replace"))


def _refuse(word: str, sentence: str) -> Response:
    refusal = RefusedError(word, sentence)
    headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
    return JSONResponse(refusal.as_json(), status_code=refusal.status, headers=headers)
