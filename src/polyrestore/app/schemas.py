"""What the JSON interface says, as its OpenAPI document describes it."""

from __future__ import annotations

from pydantic import BaseModel, Field


class NoteText(BaseModel):
    """Something that a reader should know about a result."""

    code: str = Field(description="a stable word, one of those in docs/restoring.md")
    text: str = Field(description="one sentence")


class RecognitionAnswer(BaseModel):
    """What was recognised in an image."""

    width: int = Field(description="of the image, in pixels")
    height: int = Field(description="of the image, in pixels")
    weights: dict[str, float] = Field(description="the composition by adapter; empty for a clean image")
    probabilities: dict[str, float] = Field(description="by degradation, `clean` among them")
    uncertain: dict[str, float] = Field(description="what may be there but is not acted on")
    severities: dict[str, float] = Field(description="how strong each degradation is if it is there, 0 to 1")
    preview: str | None = Field(description="the reduced image, a PNG file in base64; null if not asked for")


class RestorationReport(BaseModel):
    """How a result came about."""

    name: str = Field(description="what the result's file is called")
    width: int = Field(description="of the result, in pixels")
    height: int = Field(description="of the result, in pixels")
    seconds: float = Field(description="that restoring took, without waiting, reading and writing")
    weights: dict[str, float] = Field(description="the composition that acted, by adapter")
    unchanged: bool = Field(description="whether the result is the upload, byte for byte")
    notes: list[NoteText] = Field(description="what could not be kept, and what else there is to know")
    sha256: str = Field(description="of the result's bytes")


class RestorationAnswer(RestorationReport):
    """A result as JSON."""

    image: str = Field(description="the result's file, in base64")


class JobAnswer(BaseModel):
    """How far an image is."""

    state: str = Field(description="`waiting` or `running`")
    done: int = Field(description="tiles that are finished")
    total: int = Field(description="tiles that there are; 0 before that is known")


class Health(BaseModel):
    """Whether the page works."""

    status: str
    version: str
    waiting: int = Field(description="images that wait for their turn")
    running: int = Field(description="images that are being restored")


class LimitsAnswer(BaseModel):
    """What is refused."""

    max_mb: float
    max_megapixels: float
    queue: int
    seconds: float
    receive_s: float


class BundleAnswer(BaseModel):
    """The model behind the page."""

    name: str
    adapters: list[str] = Field(description="what a composition may name")
    in_full: bool = Field(description="whether each weight may reach 1; otherwise their sum may")
    recognises: bool = Field(description="whether compositions can be left out")
    qualities: list[str]
    scales: list[int] = Field(description="how many times as wide and high results can be")
    formats: list[str] = Field(description="those that results can be written in")
    device: str
    preview_px: int = Field(
        description="the longest side of an image that is restored in about half a second"
    )
    limits: LimitsAnswer


class ExampleAnswer(BaseModel):
    """A photograph to try the page with."""

    name: str
    title: str
    degradations: list[str] = Field(description="what was done to it")


class Refused(BaseModel):
    """What went wrong."""

    code: str = Field(description="a stable word")
    message: str = Field(description="one sentence, which may be reworded")
    values: dict[str, float | str] = Field(description="numbers and names in the message")


class ErrorAnswer(BaseModel):
    """Why a request was refused."""

    error: Refused
