"""Settings of the commands that use a model, apart from what loads one so that their help comes at once."""

import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from knowlip.base.generation import GenerationConfig

ANSWER_TOKENS, CAPTION_TOKENS = 32, 512
"""Longest texts, unless something else is asked for."""


def named_model() -> Path | None:
    """$KNOWLIP_MODEL where it is set."""
    named = os.environ.get("KNOWLIP_MODEL")
    return Path(named) if named else None


def _check_metres(metres_per_pixel: float | None) -> None:
    if metres_per_pixel is not None and not 0 < metres_per_pixel < math.inf:
        raise ValueError(f"--metres_per_pixel is {metres_per_pixel:g}: give the size of a pixel on the ground, e.g. 3.")


def _check_evidence(picture: Path, image: Path) -> None:
    """Nothing is written over the image that was asked about, nor over an array that no evidence left."""
    array = picture.with_suffix(".npy")
    for path in (picture, array):
        same = path.resolve() == image.resolve() or (path.exists() and image.exists() and path.samefile(image))
        if same:
            raise ValueError(f"--evidence {picture} would write over the image {image}: give another name.")
    if array.exists() and not picture.exists():
        raise ValueError(f"--evidence {picture} would write over {array}, which is another's: give another name.")


@dataclass(frozen=True)
class CaptionConfig:
    """What to describe, and how."""

    POSITIONAL: ClassVar = ("images",)

    images: list[Path]
    """8-bit images (PNG, JPEG), SAR rasters and whole scenes, or folders of them."""
    model: Path | None = field(default_factory=named_model)
    """Model folder, or USER/REPO of the Hugging Face hub; else $KNOWLIP_MODEL, else the model that comes with
    KnowLIP."""
    metres_per_pixel: float | None = None
    """Side of a pixel of the images on the ground; taken from the georeferencing of rasters where not given."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    generation: GenerationConfig = field(default_factory=lambda: GenerationConfig(max_new_tokens=CAPTION_TOKENS))
    """How texts are written; the model's own length ends one before max_new_tokens."""
    out: Path | None = None
    """Also write what is said of every image or window: .csv, .geojson, .parquet (GeoParquet) or .html."""
    refuse: bool = True
    """Refuse images whose pixels are larger than any that the model learned on; false: describe them anyway."""

    def __post_init__(self) -> None:
        _check_metres(self.metres_per_pixel)


@dataclass(frozen=True)
class AskConfig:
    """What to ask about which image."""

    POSITIONAL: ClassVar = ("image", "question")

    image: Path
    """8-bit image (PNG, JPEG), SAR raster or whole scene; a folder of them; or a data set, with --tile."""
    question: str = ""
    """In words; or a description with one [MASK], which is filled."""
    model: Path | None = field(default_factory=named_model)
    """Model folder, or USER/REPO of the Hugging Face hub; else $KNOWLIP_MODEL, else the model that comes with
    KnowLIP."""
    metres_per_pixel: float | None = None
    """Side of a pixel of the image on the ground; taken from the georeferencing of a raster where not given."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    generation: GenerationConfig = field(default_factory=lambda: GenerationConfig(max_new_tokens=ANSWER_TOKENS))
    """How answers are written."""
    evidence: Path | None = None
    """Also draw where in the image the evidence of the answer lies: a PNG, and beside it the map as .npy."""
    evidence_of: str = ""
    """Of these words instead of the answer."""
    evidence_by: Literal["gradient", "attention"] = "gradient"
    """"gradient": on which places the answer's probability depends; "attention": where the text side looks."""
    also: list[Path] = field(default_factory=list)
    """More images or folders that are asked the same."""
    out: Path | None = None
    """Also write what is said of every image or window: .csv, .geojson, .parquet (GeoParquet) or .html."""
    refuse: bool = True
    """Refuse what is outside of what the model knows, or smaller than the pixels can show; false: answer anyway."""
    chain: bool = False
    """Also ask about the same place at every scale that the model knows, from the widest window to the narrowest."""
    at: str = ""
    """That place, as "lon,lat"; by default where the evidence of the answer lies."""
    tile: str = ""
    """Of a data set: the tile that is asked about, and with --chain its parents."""
    questions: Path | None = None
    """Instead of one question all of a text file, one a line."""

    def __post_init__(self) -> None:
        if self.questions is None and not self.question.strip():
            raise ValueError("The question is empty: give one, or --questions FILE with one a line.")
        if self.questions is not None and self.question:
            raise ValueError("Give a question or --questions FILE, not both.")
        if self.questions is not None and (self.evidence is not None or self.chain or self.tile):
            raise ValueError("--evidence, --chain and --tile belong to one question: leave out --questions.")
        if self.evidence is not None and self.evidence.suffix.lower() != ".png":
            raise ValueError(f"--evidence is {self.evidence}: give the name of a picture that ends in .png.")
        if self.evidence is not None:
            _check_evidence(self.evidence, self.image)
        if self.evidence is None and self.evidence_of:
            raise ValueError("--evidence_of belongs to --evidence PICTURE.png.")
        if self.at and (self.tile or not self.chain):
            raise ValueError("--at belongs to --chain true, and to no --tile: it is the place whose scales are asked.")
        if self.tile and self.also:
            raise ValueError("--tile is one of a data set: leave --also out.")
        _check_metres(self.metres_per_pixel)


@dataclass(frozen=True)
class SearchConfig:
    """What to look for, and where."""

    POSITIONAL: ClassVar = ("dataset", "text")

    dataset: Path
    """Archive (`knowlip index`), or a data set whose tiles are searched; needs no texts."""
    text: str = ""
    """What to look for, in words."""
    model: Path | None = field(default_factory=named_model)
    """Model folder, or USER/REPO of the Hugging Face hub; else $KNOWLIP_MODEL, else the model that comes with
    KnowLIP."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    top: int = 10
    """How many tiles."""
    out: Path | None = None
    """Also write what was found: .geojson; of an archive also .csv, .parquet, or .html with a map and pictures."""
    like: Path | None = None
    """In an archive: what to look for, as an image; with a text, both."""
    metres_per_pixel: float | None = None
    """Side of a pixel of that image on the ground, where it does not say so itself."""
    near: str = ""
    """In an archive: a town, port, airport or "lon,lat"."""
    km: float = 50.0
    """Greatest distance from there."""
    after: str = ""
    """In an archive: ISO date, not before it."""
    before: str = ""
    """In an archive: ISO date, before it."""
    sensor: str = ""
    """In an archive: sensor or band."""
    orbit: str = ""
    """In an archive: direction of the orbit, ascending or descending; what does not say it is no hit."""
    resolution: tuple[float, float] | None = None
    """In an archive: smallest and largest pixel spacing of scenes in metres."""
    changed: bool = False
    """In an archive: places of which two dates say something else, beside what unchanged ground comes to."""
    question: str = ""
    """With --changed: places whose answers to it differ; without one, those whose vectors do."""
    overlap: float = 0.8
    """With --changed: share of the ground that two windows must both show, of all that they show."""

    def __post_init__(self) -> None:
        if self.changed and (self.text.strip() or self.like is not None):
            raise ValueError("--changed compares dates, with --question or without: leave the text and --like out.")
        if not self.changed and self.question:
            raise ValueError("--question belongs to --changed true.")
        if not 0.1 <= self.overlap <= 1:
            raise ValueError(f"--overlap lies from 0.1 to 1, not {self.overlap:g}.")
        if not self.changed and not self.text.strip() and self.like is None:
            raise ValueError("The text to search for is empty.")
        _check_metres(self.metres_per_pixel)
        if not 0 < self.km <= 20_100:
            raise ValueError(f"--km lies above 0 and at most at half of the Earth's circumference, not {self.km:g}.")
        for name, date in (("after", self.after), ("before", self.before)):
            if date and not re.fullmatch(r"\d{4}(-\d{2}(-\d{2}([T ][\d:.]+)?)?)?", date):
                raise ValueError(f"--{name} is {date!r}: give a date as 2024-01-31.")
        if self.orbit not in ("", "ascending", "descending"):
            raise ValueError(f"--orbit is {self.orbit!r}: say ascending or descending.")
        if self.after and self.before and self.after >= self.before:
            raise ValueError(f"--after {self.after} is not before --before {self.before}: nothing lies between them.")
        if self.resolution is not None and not 0 <= self.resolution[0] <= self.resolution[1]:
            raise ValueError("--resolution needs the smallest and the largest spacing in metres, e.g. [0.5,3].")
        if self.top < 1:
            raise ValueError("--top must be at least 1.")


@dataclass(frozen=True)
class ServeConfig:
    """What to serve, where, and how much one request may ask."""

    POSITIONAL: ClassVar = ("index",)

    index: Path | None = None
    """Archive (`knowlip index`) that is served with an API and a page."""
    openai: bool = False
    """Speak OpenAI's chat completions: `/v1/chat/completions` with an image, and `/v1/models`."""
    model: Path | None = field(default_factory=named_model)
    """Model folder, or USER/REPO of the Hugging Face hub; else $KNOWLIP_MODEL, else the model that comes with
    KnowLIP."""
    detector: Path | None = None
    """Of an archive: folder of a trained detector, for windows and uploads."""
    segmenter: Path | None = None
    """Of an archive: folder of a trained segmenter, for uploads."""
    min_score: float | None = None
    """Boxes of a lower score are not shown; by default what the detector's card says, as `predict detect` has it."""
    name: str = "knowlip"
    """Of the model, as clients ask for it."""
    metres_per_pixel: float | None = None
    """Side of a pixel on the ground of images whose request does not say it."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    host: str = "127.0.0.1"
    """Address to listen at. One that others can reach needs a key in $KNOWLIP_SERVE_KEY or key_file."""
    port: int = 8767
    """Port to listen at."""
    key_file: Path | None = None
    """File that holds the key which clients must send, instead of $KNOWLIP_SERVE_KEY."""
    max_body_mb: float = 20.0
    """Largest request in millions of bytes, its image in base64 included; uploads apart."""
    max_megapixels: float = 25.0
    """Largest image in millions of pixels."""
    refuse: bool = True
    """With --openai: refuse questions as `knowlip ask` does, unless a request says otherwise."""
    max_new_tokens: int = 512
    """Longest text in tokens, whatever a request asks for."""
    max_waiting: int = 64
    """Requests that wait for the model; more are told to come back (HTTP 503)."""
    uploads: bool = True
    """Of an archive: take scenes of others."""
    max_upload_mb: float = 2000.0
    """Largest upload in millions of bytes; what a zip unpacks to is three times that at most."""
    max_upload_megapixels: float = 1000.0
    """Largest scene of an upload in millions of pixels."""
    max_jobs: int = 20
    """Uploads that are kept, waiting and worked on at once."""
    max_disk_mb: float = 8000.0
    """What uploads and their results take of the disk."""
    job_hours: float = 24.0
    """How long a result is kept."""
    job_minutes: float = 60.0
    """How long the work on one upload may take."""
    work: Path | None = None
    """Folder for uploads while the server runs; by default where the system keeps what is temporary."""

    def __post_init__(self) -> None:
        if not self.openai and self.index is None:
            raise ValueError("Say what to serve: an archive that `knowlip index` made, or --openai.")
        if self.index is None and (self.detector or self.segmenter):
            raise ValueError("--detector and --segmenter belong to an archive: name one.")
        if not self.name.strip() or not self.name.isprintable():
            raise ValueError("--name is what clients ask for: give a word.")
        if not 0 < self.port < 65536:
            raise ValueError("--port lies between 1 and 65535.")
        if not (0 < self.max_body_mb <= 1000 and 0 < self.max_megapixels <= 100):
            raise ValueError("--max_body_mb lies above 0 and at most 1000, --max_megapixels above 0 and at most 100.")
        if self.max_new_tokens < 1:
            raise ValueError("--max_new_tokens must be at least 1.")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise ValueError(f"--min_score must lie from 0 to 1, not {self.min_score:g}.")
        for name in ("max_waiting", "max_jobs"):
            if not 1 <= getattr(self, name) <= 10_000:
                raise ValueError(f"--{name} lies between 1 and 10,000.")
        for name in ("max_upload_mb", "max_upload_megapixels", "max_disk_mb", "job_hours", "job_minutes"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"--{name} lies above 0.")
        if self.max_disk_mb < self.max_upload_mb:
            raise ValueError("--max_disk_mb is less than --max_upload_mb: an upload needs that much room.")
        _check_metres(self.metres_per_pixel)
