"""The JSON interface: images in, images out, described by an OpenAPI document of its own."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image as PillowImage

from polyrestore import __version__
from polyrestore.app.engine import Answer, Engine, Wish
from polyrestore.app.examples import EXAMPLES, make_example
from polyrestore.app.receiving import HeldBytes, received
from polyrestore.app.refusals import RefusedError
from polyrestore.app.schemas import (
    BundleAnswer,
    ErrorAnswer,
    ExampleAnswer,
    Health,
    JobAnswer,
    LimitsAnswer,
    NoteText,
    RecognitionAnswer,
    RestorationAnswer,
    RestorationReport,
)
from polyrestore.imaging import FORMATS
from polyrestore.restoration.enlarging import ENLARGED_AS, SCALES
from polyrestore.restoration.views import QUALITIES

REPORT_HEADER = "Polyrestore-Report"
"""The header in which the report of a result is sent beside the image, as JSON in ASCII."""

LONGEST_SIDE_PX = 4096

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "an image file of any format that can be read",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_IMAGE_CONTENT: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_TEXTS = {
    401: "a token is needed",
    403: "the request comes from another page",
    404: "there is nothing of this name",
    408: "the upload took too long",
    413: "the upload has too many bytes, or the image too many pixels",
    422: "this is no image, it is damaged, or a parameter cannot be used",
    503: "too many images are waiting; `Retry-After` says when to try again",
    504: "restoring took too long",
    507: "there is not enough memory",
}


def refusing(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return how the OpenAPI document describes refusals."""
    return {status: {"model": ErrorAnswer, "description": _TEXTS[status]} for status in (401, 403, *statuses)}


Name = Annotated[str, Query(max_length=255, description="of the file; decides what the result is called")]
Composition = Annotated[
    str | None,
    Query(
        alias="as",
        max_length=1000,
        description="the composition, `rain,noise` or `rain=0.7,noise=0.3`; what is recognised by default",
    ),
]
Strength = Annotated[float, Query(ge=0, le=1, description="from 0, the input, to 1, the restored image")]
QualityName = Annotated[
    Literal["normal", "best"],
    Query(description="`best` is the mean over four views, and four times as slow"),
]
FormatName = Annotated[
    str | None,
    Query(
        alias="format",
        max_length=20,
        description="of the result, such as `png`; that of the input by default",
    ),
]
JpegQuality = Annotated[int | None, Query(ge=1, le=100, description="of a result that is a JPEG file")]
Scale = Annotated[
    int, Query(ge=1, le=max(SCALES), description="how many times as wide and high the result is")
]
JobKey = Annotated[
    str | None,
    Query(pattern=r"^[A-Za-z0-9-]{8,64}$", description="a name of your own, to ask how far the image is"),
]
Side = Annotated[
    int, Query(ge=16, le=LONGEST_SIDE_PX, description="the longest side of the result, in pixels")
]
PreviewSide = Annotated[
    int, Query(ge=0, le=LONGEST_SIDE_PX, description="the longest side of a preview, in pixels; 0 for none")
]


def wish_of(
    name: Name = "image",
    as_: Composition = None,
    strength: Strength = 1.0,
    quality: QualityName = "normal",
    format_: FormatName = None,
    jpeg_quality: JpegQuality = None,
    scale: Scale = 1,
) -> Wish:
    """Return how the image of a request is to be restored."""
    return Wish(name, as_, strength, quality, format_, jpeg_quality, scale)


def make_router(engine: Engine) -> APIRouter:
    """Return the interface to an engine, below ``/api``."""
    router = APIRouter(prefix="/api")
    held = HeldBytes(engine.limits.held_bytes)

    @router.get("/health", responses=refusing())
    async def health() -> Health:
        """Say whether the page works, and how much is waiting."""
        return Health(status="ok", version=__version__, waiting=engine.waiting, running=engine.running)

    @router.get("/bundle", responses=refusing())
    async def bundle() -> BundleAnswer:
        """Say which model restores, what it knows, and what is refused."""
        restorer = engine.restorer
        return BundleAnswer(
            name=restorer.bundle.name,
            adapters=list(restorer.adapters),
            in_full=restorer.recognition_settings.in_full,
            recognises=restorer.bundle.recogniser is not None,
            qualities=list(QUALITIES),
            scales=list(SCALES) if ENLARGED_AS in restorer.adapters else [1],
            formats=sorted(found.name.lower() for found in FORMATS.values() if found.encode is not None),
            device=str(restorer.device),
            preview_px=engine.preview_px,
            limits=LimitsAnswer(**asdict(engine.limits)),
        )

    @router.get("/examples", responses=refusing())
    async def examples() -> list[ExampleAnswer]:
        """Name the photographs to try the page with."""
        return [
            ExampleAnswer(name=name, title=each.title, degradations=list(each.severities))
            for name, each in EXAMPLES.items()
        ]

    @router.get(
        "/examples/{name}",
        response_class=Response,
        responses={**refusing(404), 200: {"content": {"image/png": _IMAGE_CONTENT}}},
    )
    def example(name: Annotated[str, Path(max_length=60)]) -> Response:
        """Return a photograph that was damaged on purpose, as a PNG file."""
        if name not in EXAMPLES:
            raise RefusedError("not_found", f"there is no example {name!r}", {"name": name})
        return Response(make_example(name), media_type="image/png")

    @router.post("/recognise", openapi_extra=_BODY, responses=refusing(408, 413, 422, 503, 504, 507))
    async def recognise(
        request: Request, name: Name = "image", preview_px: PreviewSide = 0
    ) -> RecognitionAnswer:
        """Say what is wrong with an image."""
        async with received(request, engine.limits, held) as content:
            look = await engine.look(content, name, preview_px, gone_from(request))
        found = look.recognition
        return RecognitionAnswer(
            width=look.width_px,
            height=look.height_px,
            weights=_rounded(found.weights) if found else {},
            probabilities=_rounded(found.probabilities) if found else {},
            uncertain=_rounded(found.uncertain) if found else {},
            severities=_rounded(found.severities) if found else {},
            preview=None if look.preview is None else base64.b64encode(look.preview).decode(),
        )

    @router.post(
        "/preview",
        response_class=Response,
        openapi_extra=_BODY,
        responses={
            **refusing(408, 413, 422, 503, 504, 507),
            200: {"content": {"image/png": _IMAGE_CONTENT}, "description": "a PNG file"},
        },
    )
    async def preview(request: Request, name: Name = "image", side_px: Side = 1600) -> Response:
        """Reduce an image, as it is, to what every browser shows."""
        async with received(request, engine.limits, held) as content:
            reduced = await engine.reduce(content, name, side_px, gone_from(request))
        return Response(reduced, media_type="image/png")

    @router.post(
        "/restore",
        response_class=Response,
        openapi_extra=_BODY,
        responses={
            **refusing(408, 413, 422, 503, 504, 507),
            200: {
                "description": "the restored image file, or with `answer=json` that file within JSON",
                "model": RestorationAnswer,
                "content": {"image/*": _IMAGE_CONTENT},
                "headers": {
                    REPORT_HEADER: {
                        "description": "how the result came about, as JSON: name, width, height, seconds, "
                        "weights, unchanged, notes and sha256",
                        "schema": {"type": "string"},
                    }
                },
            },
        },
    )
    async def restore(
        request: Request,
        wish: Annotated[Wish, Depends(wish_of)],
        job: JobKey = None,
        answer: Annotated[Literal["image", "json"], Query(description="in which form")] = "image",
    ) -> Response:
        """Restore an image: the same bytes as the command line writes."""
        async with received(request, engine.limits, held) as content:
            result = await engine.restore(content, wish, gone_from(request), job)
            report = _report(result, unchanged=result.made.content == content)
        if answer == "json":
            image = base64.b64encode(result.made.content).decode()
            return JSONResponse({**report.model_dump(), "image": image})
        headers = {
            REPORT_HEADER: json.dumps(report.model_dump(), ensure_ascii=True),
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(result.name, safe='')}",
        }
        return Response(result.made.content, media_type=_media_type(result.name), headers=headers)

    @router.get("/jobs/{job}", responses=refusing(404))
    async def progress(job: Annotated[str, Path(max_length=64)]) -> JobAnswer:
        """Say how far an image is that was sent with ``job``."""
        found = engine.jobs.get(job)
        if found is None:
            raise RefusedError("not_found", f"no image is being restored as {job!r}", {"name": job})
        state = "running" if found.running else "waiting"
        return JobAnswer(state=state, done=found.done, total=found.total)

    return router


def gone_from(request: Request) -> Callable[[], Awaitable[object]]:
    """Return what waits until the client of a request goes away, once its body has been received."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return gone


def _report(result: Answer, *, unchanged: bool) -> RestorationReport:
    made = result.made
    return RestorationReport(
        name=result.name,
        width=result.width_px,
        height=result.height_px,
        seconds=round(made.seconds, 4),
        weights=_rounded(made.restored.weights),
        unchanged=unchanged,
        notes=[NoteText(code=note.code, text=str(note)) for note in made.notes],
        sha256=result.sha256,
    )


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in values.items()}


def _media_type(name: str) -> str:
    PillowImage.init()
    ending = "." + name.rpartition(".")[2].lower()
    found = next((each.name for each in FORMATS.values() if ending in each.suffixes), "PNG")
    return PillowImage.MIME.get(found, f"image/{found.lower()}")
