"""The archive behind the page: windows by key, their facts, what is found, and files of it."""

import base64
import binascii
import math
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import shapely
from shapely.geometry import mapping

from knowlip.inference.archive.finding import (
    FoundInArchive,
    by_match,
    candidates,
    hit_of,
    picture_of,
    rows_of,
    write_hits,
)
from knowlip.inference.archive.parts import PASS, ArchivePart, Filters, SceneArchive
from knowlip.inference.images import TakenImage, read_image
from knowlip.inference.web.batcher import Batcher
from knowlip.inference.web.model import ModelWork, Pairs, WindowLook
from knowlip.inference.web.schema import (
    KEY_PATTERN,
    ExportRequest,
    MapPoints,
    NearPlace,
    SearchRequest,
    SearchResult,
    TileFacts,
    TileFilter,
    TileHit,
    TilePoint,
)
from knowlip.pages.server import Refused
from knowlip.scenes.pictures import kind_of, size_of
from knowlip.tiles.places import describe_places, resolve_place

_KEPT_ROWS: Final = 2_000
"""Windows whose row and picture stay in memory."""
MOST_POINTS: Final = 20_000
_PICTURES: Final = ("PNG", "JPEG", "BMP", "WEBP")
_MOST_MEGAPIXELS: Final = 25


class _Hit(NamedTuple):
    part: int
    row: int
    similarity: float | None
    match: float | None
    held: dict[str, Any]


class _Found(NamedTuple):
    searched: int
    near: NearPlace | None
    notes: list[str]
    hits: list[_Hit]


class WebArchive:
    """An archive with its model, for many threads.

    Args:
        archive: opened.
        batcher: answers "text", "image" and "match".
        temperature: tau of the model's contrast.
        work: the model, to tell what of a text or of a picture it is not shown.

    Raises:
        ValueError: a file of the archive is damaged.
    """

    def __init__(self, archive: SceneArchive, batcher: Batcher, temperature: float, work: ModelWork) -> None:
        self._work = work
        self.archive, self._batcher, self._temperature = archive, batcher, temperature
        self._hashes = [sha256(part.path.name.encode()).hexdigest()[:12] for part in archive.parts]
        self._parts = {name: number for number, name in enumerate(self._hashes)}
        self._reading = threading.Lock()
        self._rows: OrderedDict[tuple[int, int], dict[str, Any]] = OrderedDict()
        for part in archive.parts:  # a damaged archive is told before anybody asks, not by the first who does
            _ = part.rows, part.dates, part.of_sensor("")

    def key(self, part: int, row: int) -> str:
        """Of a window."""
        return f"{self._hashes[part]}-{row}"

    def place(self, key: str) -> tuple[int, int]:
        """Part and row of a key.

        Raises:
            Refused: there is no such window.
        """
        if re.fullmatch(KEY_PATTERN, key):
            name, _, row = key.partition("-")
            part = self._parts.get(name)
            if (
                part is not None
                and int(row) < len(self.archive.parts[part].vectors)
                and self.key(part, int(row)) == key
            ):
                return part, int(row)
        raise Refused("The archive has no such window.", 404)

    def rows(self, near: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        """Rows with pictures and footprints, from memory where they were read before."""
        with self._reading:
            missing = [one for one in dict.fromkeys(near) if one not in self._rows]
            if missing:
                read = rows_of(self.archive, [(part, row, 0.0) for part, row in missing])
                fresh = dict(zip(missing, read))
            else:
                fresh = {}
            found = [fresh[one] if one in fresh else self._rows[one] for one in near]
            for one in near:
                self._rows[one] = fresh[one] if one in fresh else self._rows[one]
                self._rows.move_to_end(one)
            while len(self._rows) > _KEPT_ROWS:
                self._rows.popitem(last=False)
        return found

    def row(self, key: str) -> dict[str, Any]:
        """The row of a key."""
        return self.rows([self.place(key)])[0]

    def look(self, key: str) -> WindowLook:
        """A window as a model takes it."""
        return WindowLook(key, picture_of(self.row(key)))

    def facts(self, part: int, row: int, held: dict[str, Any]) -> TileFacts:
        """What is told of a window."""
        return TileFacts(**self._facts(part, row, held))

    def _facts(self, part: int, row: int, held: dict[str, Any]) -> dict[str, Any]:
        shape = self.shape(held)
        names = ("item", "sensor", "band", "polarisation", "date", *PASS)
        numbers = ("lon", "lat", "window_m", "metres_per_pixel", "resolution_m")
        facts: dict[str, Any] = {name: held[name] for name in names} | {name: _known(held[name]) for name in numbers}
        side = facts["window_m"]
        return facts | {
            "key": self.key(part, row),
            "scene": held["scene_id"],
            "source": self.archive.parts[part].path.name,
            "town": _town(facts["lon"], facts["lat"]),
            "metres_per_pixel": side and side / picture_of(held).pixels.shape[1],
            "footprint": shape and mapping(shape),
            "corners": corners_of(shape),
        }

    def shape(self, held: dict[str, Any]) -> Any:
        """Outline of a window, None where its place is not known.

        Raises:
            ValueError: it is damaged.
        """
        try:
            return shapely.from_wkb(held["footprint"]) if held["footprint"] else None
        except shapely.errors.ShapelyError:
            raise ValueError(f"The outline of {held['item']} is damaged: remove its source and add it again.") from None

    def search(self, asked: SearchRequest) -> SearchResult:
        """Windows, best first.

        Raises:
            Refused: a place that the gazetteer does not know, or an image that cannot be read.
        """
        found = self._search(asked)
        hits = [
            TileHit(**self._facts(one.part, one.row, one.held), similarity=one.similarity, match=one.match)
            for one in found.hits
        ]
        return SearchResult(
            searched=found.searched, of=len(self.archive), near=found.near, notes=found.notes, hits=hits
        )

    def _search(self, asked: SearchRequest) -> "_Found":
        near, text = _near(asked), asked.text.strip()
        masks = self.archive.mask(filters_of(asked, near))
        found = _Found(sum(int(mask.sum()) for mask in masks), near, [], [])
        if not found.searched:
            found.notes.append(f"None of the {len(self.archive):,} windows passes the filters: loosen them.")
            return found
        vector = self._vector(asked, text, found.notes)
        if vector is None:
            places = _first(masks, asked.top)
            found.hits.extend(_Hit(*place, None, None, held) for place, held in zip(places, self.rows(places)))
            return found
        close = self.archive.among(vector, candidates(asked.top) if text else asked.top, masks)
        held = self.rows([(part, row) for part, row, _ in close])
        matches: list[float | None] = [None] * len(close)
        if text:  # matching reads text and image together: the best by cosine are ordered anew
            looks = [WindowLook(self.key(part, row), picture_of(one)) for (part, row, _), one in zip(close, held)]
            match = self._batcher.answer("match", Pairs(looks, text))
            order = by_match(close, match, self._temperature)
            close, held = [close[at] for at in order], [held[at] for at in order]
            matches = [round(float(match[at]), 6) for at in order]
        best = list(zip(close, matches, held))[: asked.top]
        found.hits.extend(_Hit(part, row, round(score, 6), match_, one) for (part, row, score), match_, one in best)
        return found

    def _vector(self, asked: SearchRequest, text: str, notes: list[str]) -> np.ndarray | None:
        """What is looked for as a vector: the sum of those of words and image; None where nothing is."""
        vectors = []
        if text:
            notes.extend(self._work.unread(text))
            vectors.append(self._batcher.answer("text", text))
        if asked.like is not None:
            part, row = self.place(asked.like)
            vectors.append(np.asarray(self.archive.parts[part].vectors[row]))
        if asked.image:
            taken = image_of(asked.image, asked.metres_per_pixel)
            try:
                image, more = self._work.as_window(taken)
            except ValueError as error:
                raise Refused(str(error).replace("--metres", "metres")) from None
            notes.extend(more)
            if image.metres_per_pixel is None:
                notes.append("The image does not say how large its pixels are: give metres_per_pixel.")
            vectors.append(self._batcher.answer("image", image))
        if not vectors:
            return None
        vector: np.ndarray = np.sum(vectors, axis=0)
        return vector / max(float(np.linalg.norm(vector)), 1e-12)

    def export(self, asked: ExportRequest) -> bytes:
        """The file of a search.

        Raises:
            Refused: as :meth:`search`, or nothing is found.
        """
        found = self._search(asked)
        if not found.hits:
            raise Refused(found.notes[0])
        hits = [
            hit_of(
                self.archive,
                (one.part, one.row, math.nan if one.similarity is None else one.similarity),
                one.held,
                one.match,
            )
            for one in found.hits
        ]
        result: FoundInArchive = {
            "text": asked.text.strip(),
            "like": asked.like or ("an image" if asked.image else ""),
            "searched": found.searched,
            "of": len(self.archive),
            "hits": hits,
        }
        with tempfile.TemporaryDirectory(prefix="knowlip-serve-") as folder:
            path = Path(folder) / f"found.{asked.format}"
            write_hits(path, result, [one.held for one in found.hits])
            return path.read_bytes()

    def points(self, asked: TileFilter | None = None) -> MapPoints:
        """Where the windows lie, or those of them that pass filters."""
        masks = self.archive.mask(filters_of(asked, _near(asked)) if asked else Filters())
        places = [_located(part, mask) for part, mask in zip(self.archive.parts, masks)]
        total, known = sum(int(mask.sum()) for mask in masks), sum(map(len, places))
        step = max(1, -(-known // MOST_POINTS))
        points = []
        for number, rows in enumerate(places):
            lons, lats = (self.archive.parts[number].rows[name].to_numpy() for name in ("lon", "lat"))
            points += [
                TilePoint(key=self.key(number, int(row)), lon=float(lons[row]), lat=float(lats[row]))
                for row in rows[::step]
            ]
        return MapPoints(of=total, without_place=total - known, points=points)


def _located(part: ArchivePart, mask: np.ndarray) -> np.ndarray:
    lons, lats = (part.rows[name].to_numpy() for name in ("lon", "lat"))
    found: np.ndarray = np.flatnonzero(mask & np.isfinite(lons) & np.isfinite(lats))
    return found


def _first(masks: Sequence[np.ndarray], count: int) -> list[tuple[int, int]]:
    """The first rows that pass, an equal share of every part while there is one."""
    rows = [np.flatnonzero(mask)[:count].tolist() for mask in masks]
    turns = ((at, part) for at in range(count) for part in range(len(rows)))
    return [(part, rows[part][at]) for at, part in turns if at < len(rows[part])][:count]


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _town(lon: float | None, lat: float | None) -> str:
    if lon is None or lat is None or abs(lat) > 90:
        return ""
    (near,) = describe_places([lon], [lat])
    return f"{near['city']}, {near['country']} ({near['city_km']:,.0f} km)"


def _near(asked: TileFilter) -> NearPlace | None:
    if not asked.near.strip():
        return None
    try:
        name, lon, lat = resolve_place(asked.near.strip())
    except ValueError as error:
        raise Refused(str(error)) from None
    return NearPlace(name=name, lon=lon, lat=lat, km=asked.km)


def filters_of(asked: TileFilter, near: NearPlace | None) -> Filters:
    """What a request asks of windows.

    Raises:
        Refused: a date that there is not.
    """
    try:
        return Filters(
            (near.lon, near.lat) if near else None,
            near.km if near else math.inf,
            asked.after,
            asked.before,
            asked.sensor.strip(),
            (asked.resolution[0], asked.resolution[1]) if asked.resolution else (0.0, math.inf),
            orbit=asked.orbit,
        )
    except ValueError as error:
        raise Refused(str(error).removeprefix("--")) from None


def image_of(sent: str, metres_per_pixel: float | None) -> TakenImage:
    """A picture in base64.

    Raises:
        Refused: it is none, or too large.
    """
    try:
        data = base64.b64decode(sent.rpartition(",")[2].encode(), validate=True)
    except (binascii.Error, ValueError):
        raise Refused("The image is no base64.") from None
    with tempfile.TemporaryDirectory(prefix="knowlip-serve-") as folder:
        path = Path(folder) / "image"
        path.write_bytes(data)
        try:
            if kind_of(path) not in _PICTURES:
                raise Refused("The image is no PNG, JPEG, WebP or BMP.")
            width, height = size_of(path)
            if width * height > _MOST_MEGAPIXELS * 1e6:
                most = f"{_MOST_MEGAPIXELS} megapixels"
                raise Refused(f"The image has {width} x {height} pixels: at most {most} are read.", 413)
            return read_image(path, metres_per_pixel)
        except Refused:
            raise
        except ValueError as error:
            raise Refused(str(error).replace(str(path), "The image")) from None


def corners_of(shape: Any) -> list[tuple[float, float]] | None:
    """Upper left, upper right, lower right and lower left corner of a window's outline in degrees; None where it is no
    quadrangle (it crosses the antimeridian, say)."""
    if shape is None or shape.geom_type != "Polygon" or len(shape.exterior.coords) != 5:
        return None
    corners = [(float(one[0]), float(one[1])) for one in list(shape.exterior.coords)[:4]]
    by_height = sorted(corners, key=lambda one: -one[1])
    (left_up, right_up), (left_down, right_down) = sorted(by_height[:2]), sorted(by_height[2:])
    return [left_up, right_up, right_down, left_down]
