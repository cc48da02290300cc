"""What requests bring and what they get: the models behind the schema at /openapi.json."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

KEY_PATTERN: Final = r"^[0-9a-f]{12}-[0-9]{1,8}$"
"""Of a window: twelve digits of its source's name as a hash, and its row."""
JOB_PATTERN: Final = r"^[0-9a-f]{32}$"
DATE_PATTERN: Final = r"^([0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?)?$"
MOST_HITS: Final = 100
MOST_IMAGE: Final = 16_000_000
"""Letters of an image in base64."""

Task = Literal["caption", "ask", "detect", "segment"]
Two = Annotated[list[float], Field(min_length=2, max_length=2)]
"""A list, not a tuple: fewer tools read the schema of one."""
TileKey = Annotated[str, Field(pattern=KEY_PATTERN, description="Key of a window.")]


class _Strict(BaseModel):
    """Keys that are not known are refused, and so are numbers that are none, and words or truths in their place."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class ErrorBody(BaseModel):
    """Why a request is refused, in one sentence."""

    error: str


class TileFilter(_Strict):
    """What a window must be. One of which nobody knows it does not pass."""

    near: str = Field("", max_length=200, description='Town, port, airport, or "lon,lat".')
    km: float = Field(50.0, gt=0, le=20_100, description="Greatest distance from there.")
    after: str = Field("", pattern=DATE_PATTERN, description="ISO date: not before it.")
    before: str = Field("", pattern=DATE_PATTERN, description="ISO date: before it.")
    sensor: str = Field("", max_length=64, description="Sensor or band.")
    resolution: Two | None = Field(None, description="Smallest and largest pixel spacing of the scene in metres.")
    orbit: Literal["", "ascending", "descending"] = Field("", description="Direction of the orbit.")

    @model_validator(mode="after")
    def _in_order(self) -> "TileFilter":
        if self.resolution is not None and not 0 <= self.resolution[0] <= self.resolution[1]:
            raise ValueError("resolution needs the smallest and the largest spacing in metres, e.g. [0.5, 3].")
        return self


class SearchRequest(TileFilter):
    """What to look for: words, an image, both; or nothing, which lists what passes the filters."""

    text: str = Field("", max_length=2000, description="In words.")
    like: TileKey | None = Field(None, description="A window of the archive to be like.")
    image: str = Field("", max_length=MOST_IMAGE, description="Or an image: a PNG, JPEG, BMP or WebP in base64.")
    metres_per_pixel: float | None = Field(None, gt=0, le=1e6, description="Side of a pixel of that image.")
    top: int = Field(12, ge=1, le=MOST_HITS)

    @model_validator(mode="after")
    def _one_image(self) -> "SearchRequest":
        if self.like is not None and self.image:
            raise ValueError("Give a window or an image to be like, not both.")
        return self


class ExportRequest(SearchRequest):
    """A search whose result is a file."""

    format: Literal["geojson", "csv", "parquet", "html"] = "geojson"


class TileFacts(BaseModel):
    """What is known of a window; what is not is null or empty."""

    key: str
    item: str
    scene: str
    source: str
    lon: float | None
    lat: float | None
    town: str = Field(description="The nearest one of the gazetteer, and how far it is.")
    sensor: str
    band: str
    polarisation: str
    date: str
    orbit: str = Field(description="ascending, descending, or empty where it is not known.")
    look_side: str
    window_m: float | None
    metres_per_pixel: float | None = Field(description="Of the kept picture.")
    resolution_m: float | None = Field(description="Of the scene.")
    footprint: dict[str, Any] | None = Field(description="GeoJSON geometry in longitude and latitude.")
    corners: list[Two] | None = Field(
        description="Upper left, upper right, lower right, lower left of the picture; null where it has no such place."
    )


class TileHit(TileFacts):
    """A window that was found."""

    similarity: float | None = Field(description="Cosine, -1 to 1; null where nothing was asked for.")
    match: float | None = Field(description="Probability that text and image belong together; null without a text.")


class NearPlace(BaseModel):
    """What a place's name was understood as."""

    name: str
    lon: float
    lat: float
    km: float


class SearchResult(BaseModel):
    """Windows, best first."""

    searched: int = Field(description="Windows that pass the filters.")
    of: int = Field(description="Windows of the archive.")
    near: NearPlace | None
    notes: list[str]
    hits: list[TileHit]


class TilePoint(BaseModel):
    """Where a window lies."""

    key: str
    lon: float
    lat: float


class MapPoints(BaseModel):
    """The windows on a map."""

    of: int
    without_place: int
    points: list[TilePoint] = Field(description="All, or evenly chosen where there are too many.")


class SourceFacts(BaseModel):
    """A scene or data set of the archive."""

    name: str
    windows: int


class Known(BaseModel):
    """A range of numbers, null where none is known."""

    low: float | None
    high: float | None


class UploadLimits(BaseModel):
    """What may be uploaded."""

    max_mb: float
    max_megapixels: float
    hours: float = Field(description="How long a result is kept.")


class ArchiveFacts(BaseModel):
    """What there is."""

    name: str
    windows: int
    without_place: int
    sources: list[SourceFacts]
    sensors: list[str]
    bands: list[str]
    dates: Annotated[list[str], Field(min_length=2, max_length=2)] | None
    resolution_m: Known
    bounds: Annotated[list[float], Field(min_length=4, max_length=4)] | None = Field(
        description="West, south, east, north."
    )
    model: str
    model_windows_m: Known
    detector: list[str] = Field(description="Classes of the detector, empty where the server has none.")
    tasks: list[Task] = Field(description="What can be done with an upload.")
    upload: UploadLimits | None


class QuestionAsked(_Strict):
    """A question about one window."""

    question: str = Field(min_length=1, max_length=2000)


class AnswerGiven(BaseModel):
    """An answer, or why there is none."""

    answer: str
    probability: float | None = Field(description="The model's own, of the words; null where it was not asked.")
    confidence: float | None = Field(description="How often such an answer is right; null where that was not measured.")
    refused: Literal["question", "resolution", "absent", "unsure"] | None
    reason: str | None = Field(description="Why it is refused, a sentence.")
    notes: list[str]


class CaptionGiven(BaseModel):
    """A description."""

    caption: str
    token_probability: float = Field(description="Geometric mean of the probabilities of its tokens.")
    notes: list[str]


class EvidenceAsked(_Strict):
    """A question and the words whose evidence is drawn."""

    question: str = Field(min_length=1, max_length=2000)
    answer: str = Field(min_length=1, max_length=2000)
    by: Literal["gradient", "attention"] = "gradient"


class DetectionsFound(BaseModel):
    """GeoJSON, with the classes and what the scores are held against."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: list[dict[str, Any]] = Field(
        description="Outlines in longitude and latitude (null where the place is not known); `pixels` are the corners "
        "in the picture, 0 to 1."
    )
    min_score: float | str
    notes: list[str]


class JobFile(BaseModel):
    """A file of a result."""

    name: str
    bytes: int


class JobState(BaseModel):
    """An upload and what becomes of it."""

    id: str
    file: str
    task: Task
    question: str
    state: Literal["waiting", "running", "done", "failed"]
    stage: str = Field(description="What is done at the moment.")
    done: int | None
    total: int | None
    seconds_left: int | None
    error: str = Field(description="Why it failed, in one sentence.")
    notes: list[str]
    facts: dict[str, Any] = Field(description="What the upload was understood as.")
    result: dict[str, Any] = Field(description="Counts.")
    files: list[JobFile]
    deleted_in_s: int = Field(description="Seconds until it is deleted.")


def sentence_of(errors: Any) -> str:
    """The first of pydantic's findings as a sentence."""
    first = dict(next(iter(errors), {}))
    where = ".".join(str(part) for part in first.get("loc", ()) if part not in ("body", "query", "path"))
    said = re.sub(r"\s+", " ", str(first.get("msg", "It cannot be read"))).removeprefix("Value error, ").rstrip(".")
    return f"{where[:80]}: {said[:300]}." if where else f"{said[:300]}."
