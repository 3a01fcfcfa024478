"""The page as a web server of its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from polyrestore import __version__
from polyrestore.app.api import make_router
from polyrestore.app.engine import Engine
from polyrestore.app.guard import SHORTEST_TOKEN, Guard, is_loopback
from polyrestore.app.page_files import PAGE
from polyrestore.app.refusals import RefusedError, refusal_of
from polyrestore.errors import PolyrestoreError, ServiceError

_SECONDS_TO_END = 5


def make_app(engine: Engine, *, loopback: bool = True, token: str | None = None) -> ASGIApp:
    """Return the page and its interface as an ASGI application.

    Args:
        engine: what restores.
        loopback: whether it is reached under names of this machine only.
        token: what has to be known; None for nothing.
    """
    return Guard(make_api(engine), loopback=loopback, token=token)


def make_api(engine: Engine) -> FastAPI:
    """Return the page and its interface, without what guards them."""
    # The usual pages of documentation load their scripts from elsewhere.
    app = FastAPI(
        title="polyrestore",
        version=__version__,
        description="Restores damaged photographs: what is wrong is recognised, or named.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.include_router(make_router(engine))
    limit = engine.limits.max_megapixels

    @app.exception_handler(PolyrestoreError)
    async def refuse(request: Request, error: PolyrestoreError) -> JSONResponse:
        return _answer(refusal_of(error, limit))

    @app.exception_handler(Exception)
    async def explain(request: Request, error: Exception) -> JSONResponse:
        # What is no refusal is a defect, whose traceback uvicorn shows on standard error.
        return _answer(RefusedError("internal", f"a defect of the program: {type(error).__name__}"))

    @app.exception_handler(RequestValidationError)
    async def complain(request: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()[0]
        name = str(found["loc"][-1])
        return _answer(RefusedError("invalid", f"the parameter {name!r}: {found['msg']}", {"name": name}))

    @app.exception_handler(HTTPException)
    async def miss(request: Request, error: HTTPException) -> JSONResponse:
        word = "method_not_allowed" if error.status_code == 405 else "not_found"
        answer = _answer(RefusedError(word, str(error.detail), status=error.status_code))
        answer.headers.update(error.headers or {})
        return answer

    files = {path.name: path for path in PAGE.iterdir() if path.is_file() and path.name != "login.html"}

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(files["index.html"])

    @app.get("/{name}", include_in_schema=False)
    async def file(name: str) -> FileResponse:
        if name not in files:
            raise RefusedError("not_found", f"there is no {name!r}", {"name": name})
        return FileResponse(files[name])

    app.mount("/words", StaticFiles(directory=PAGE / "words"))
    return app


def _answer(refusal: RefusedError) -> JSONResponse:
    headers = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
    return JSONResponse(refusal.as_json(), status_code=refusal.status, headers=headers)


def require_token(host: str, token: str | None) -> None:
    """Refuse to be reached from other machines without a token, or with one that is soon guessed.

    Raises:
        ServiceError: it is missing or too short.
    """
    if token is None and not is_loopback(host):
        raise ServiceError(f"--host {host} lets other machines in; set --token, which they then need")
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise ServiceError(f"the token has {len(token)} characters; take {SHORTEST_TOKEN} or more")


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that is bound, so that what is wrong with the address is known before anything else.

    Args:
        host: an address or a name of this machine.
        port: 0 for one that is free.

    Raises:
        ServiceError: another process has the port, or there is no such address here.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServiceError(f"there is no address {host!r} here ({error.strerror or error})") from error
    try:
        # On Windows this would let two processes share a port.
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)
    except OSError as error:
        bound.close()
        reason = error.strerror or str(error)
        raise ServiceError(f"cannot use port {port} of {host}: {reason}; choose another --port") from error
    return bound


class Server(uvicorn.Server):
    """A web server that lets the work end when a signal asks for the end, whatever is left of it."""

    def __init__(self, config: uvicorn.Config, on_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_end = on_end

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take note of a signal."""
        self._on_end()
        super().handle_exit(sig, frame)


def make_server(engine: Engine, bound: socket.socket, *, token: str | None = None) -> Server:
    """Return the web server; its ``run(sockets=[bound])`` ends with a signal, which is raised again then.

    Args:
        engine: what restores.
        bound: from :func:`open_socket`.
        token: what has to be known; None for nothing.
    """
    host = bound.getsockname()[0]
    options: dict[str, Any] = {
        "lifespan": "off",
        "log_level": "warning",
        # Names of files are nobody else's business.
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": _SECONDS_TO_END,
    }
    config = uvicorn.Config(make_app(engine, loopback=is_loopback(host), token=token), **options)
    return Server(config, engine.stop)
