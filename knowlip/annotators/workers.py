"""The work on a chunk of tiles, and what an annotator is told of a tile."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from knowlip.annotators.chunks import Outcomes
from knowlip.annotators.detail import Details
from knowlip.annotators.labels import LabelsAnnotator
from knowlip.annotators.measured import MeasuredAnnotator
from knowlip.annotators.measured.compose import TextOptions, text_settings
from knowlip.annotators.offline import offline_annotator
from knowlip.annotators.types import Annotation, Annotator, Neighbours, TileRequest
from knowlip.dataset import Dataset
from knowlip.dataset.layout import data_levels
from knowlip.jobs.work import Work

PLACE_KEYS = ("country", "region", "city", "city_km", "airport", "airport_km", "port", "port_km")

REQUEST_COLUMNS = (
    *("tile_id", "root_id", "parent_id", "scale", "platform", "sar:frequency_band", "sar:polarizations"),
    *("sar:looks_equivalent_number", "resolution_m", "view:incidence_angle", "look_azimuth_deg", "lon", "lat"),
    *("metres_per_pixel", "window_m", "proj:transform", "quantiser", "quantiser_lo", "quantiser_hi"),
    *("radiometry", "units", *PLACE_KEYS),
)
"""Columns of the index that :func:`tile_request` and :class:`knowlip.annotators.detail.Details` look at. All rows
are held while a run lasts."""


@dataclass(frozen=True)
class Chunk:
    """Some tiles of a wave."""

    name: str
    tiles: list[dict[str, Any]]
    """Index rows, the columns :data:`REQUEST_COLUMNS`."""
    parents: dict[str, Annotation]
    """Annotations of the tiles' direct parents, by tile_id; absent where a parent has none."""


class Waiting(Protocol):
    """A chunk, or some tiles of one, before its turn."""

    @property
    def name(self) -> str:
        """Of the chunk."""
        ...

    def chunk(self) -> Chunk:
        """Rows and parents of its tiles."""
        ...


class Annotating(Work[Waiting, Outcomes]):
    """A chunk is an item, made when it is its turn; its result is what became of its tiles."""

    def prepare(self, item: Waiting, cores: int) -> Chunk:
        """The chunk itself."""
        return item.chunk()

    def name(self, item: Waiting) -> str:
        """As its file."""
        return f"chunk {item.name}"


@dataclass(frozen=True)
class Measuring(Annotating):
    """An offline annotator, opened in every process."""

    dataset: Path
    annotator: str
    """Its name, see :mod:`knowlip.annotators.offline`."""
    texts: TextOptions
    """How the measured annotator speaks."""
    detail: bool = True
    """Whether it sees a tile's small tiles too."""
    settings: str = ""
    """What the run was begun with of :func:`knowlip.annotators.measured.compose.text_settings`; "" is not compared."""

    def open(self, number: int) -> Callable[[Chunk], Outcomes]:
        """Open the data set; in a process of several, without threads of BLAS: the processes are the parallelism, and
        more threads than cores halve the speed."""
        if parent_process() is not None:
            threadpool_limits(1)
        dataset = Dataset(self.dataset)
        details = Details(dataset) if self.detail else None
        own = self.annotator == MeasuredAnnotator.name
        if not own:
            return _annotating(dataset, offline_annotator(self.annotator), details=details, plugged=True)
        measured = MeasuredAnnotator(self.texts)
        if self.settings and self.settings != str(text_settings(self.texts, measured.grammar)):
            raise ValueError(f"{self.texts.wordings} was changed while it was read: run the same command again.")
        return _annotating(dataset, measured, details=details)


@dataclass(frozen=True)
class Asking(Annotating):
    """An annotator that waits for an endpoint, for threads of this process."""

    dataset: Dataset
    annotator: Annotator
    fatal: type[ValueError]
    """What ends the run instead of quarantining a tile."""

    def open(self, number: int) -> Callable[[Chunk], Outcomes]:
        """All threads share the annotator."""
        return _annotating(self.dataset, self.annotator, self.fatal)


@dataclass(frozen=True)
class Labelling(Annotating):
    """Templates from labels, in this process: no pixel is read."""

    dataset: Dataset

    def open(self, number: int) -> Callable[[Chunk], Outcomes]:
        """Read the labels.

        Raises:
            ValueError: the data set has none.
        """
        annotator = LabelsAnnotator(self.dataset)
        return lambda chunk: {row["tile_id"]: annotator.annotate_tile(row["tile_id"]) for row in chunk.tiles}


def _annotating(
    dataset: Dataset,
    annotator: Annotator,
    fatal: tuple[type[ValueError], ...] | type[ValueError] = (),
    details: Details | None = None,
    plugged: bool = False,
) -> Callable[[Chunk], Outcomes]:
    """Annotates tile by tile; what only a tile is to blame for becomes its reason. What else goes wrong in an annotator
    that is `plugged` (another's code) ends the run in one sentence."""

    def work(chunk: Chunk) -> Outcomes:
        outcomes: Outcomes = {}
        for request in requests(dataset, chunk, details):
            try:
                outcomes[request.tile_id] = annotator.annotate(request)
            except fatal:
                raise
            except ValueError as error:
                outcomes[request.tile_id] = str(error)
            except Exception as error:
                if not plugged:
                    raise
                what = f"fails on tile {request.tile_id} ({type(error).__name__}: {error})"
                raise ValueError(f"The annotator {annotator.name} of a plug-in {what}.") from error
            if plugged:
                _check_answer(outcomes[request.tile_id], annotator.name, request.tile_id)
        return outcomes

    return work


def _check_answer(answer: Any, name: str, tile_id: str) -> None:
    """Raise `ValueError` where a plug-in's annotator gave something else than an annotation of the tile."""
    if isinstance(answer, str):  # the reason why there is none
        return
    if not isinstance(answer, Annotation) or answer.tile_id != tile_id:
        what = f"one of {answer.tile_id}" if isinstance(answer, Annotation) else f"a {type(answer).__name__}"
        raise ValueError(
            f"The annotator {name} of a plug-in must give an Annotation of the tile {tile_id}, it gave {what}."
        )


def requests(dataset: Dataset, chunk: Chunk, details: Details | None = None) -> Iterator[TileRequest]:
    """The tiles of a chunk as annotators see them, in finer pixels too where `details` are given."""
    images = dataset.images([row["tile_id"] for row in chunk.tiles])
    for row, image in zip(chunk.tiles, images, strict=True):
        yield tile_request(row, image, chunk.parents.get(row["parent_id"]), details)


def tile_request(
    row: dict[str, Any],
    image: NDArray[np.uint8],
    parent: Annotation | None = None,
    details: Details | None = None,
) -> TileRequest:
    """A tile as an annotator sees it, from its index row; in finer pixels too, and in its large tile, where `details`
    are given."""
    image = data_levels(image, str(row.get("quantiser", "")))
    # The window of the large tile is the finest look there is, so no other is made beside it.
    within = details.within(row) if details else None
    detail = None
    if details is not None:
        detail = within.pixels if within is not None else details.of(row, image)

    def number(key: str) -> float | None:
        value = row.get(key)
        return None if value is None or math.isnan(value) else float(value)

    return TileRequest(
        tile_id=row["tile_id"],
        image=image,
        metres_per_pixel=float(row["metres_per_pixel"]),
        scale=row["scale"],
        sensor=row["platform"],
        band=row["sar:frequency_band"],
        lon=float(row["lon"]),
        lat=float(row["lat"]),
        place=cast(Neighbours, {key: row[key] for key in PLACE_KEYS}),
        look_azimuth_deg=number("look_azimuth_deg"),
        parent=parent,
        detail=detail,
        within=within,
        incidence_deg=number("view:incidence_angle"),
        polarisations=tuple(map(str, row.get("sar:polarizations", ()))),
        looks=number("sar:looks_equivalent_number"),
        resolution_m=number("resolution_m"),
        levels_db=_levels_db(row),
        calibrated=row.get("radiometry") == "calibrated" or row.get("units") == "db",
    )


def _levels_db(row: dict[str, Any]) -> tuple[float, float] | None:
    """Of levels 1 and 255, where the levels between are linear in dB; a data set that was imported has no such."""
    low, high = row.get("quantiser_lo"), row.get("quantiser_hi")
    if low is None or high is None or not high > low or str(row.get("quantiser", "")).startswith("sqrt-"):
        return None
    return float(low), float(high)
