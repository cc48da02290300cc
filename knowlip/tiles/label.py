"""Mark good and bad tiles in the browser, and make of the marks a reference set for the quality filter."""

import threading
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from knowlip.dataset import Dataset
from knowlip.dataset.png import encode_png
from knowlip.pages.server import Journal, Refused, application, html_page, json_body, rater_name, serve
from knowlip.tiles.quality import STATISTICS, QualityConfig
from knowlip.tiles.reference import VOTED, Reference, load_reference, write_reference

MARKS = ("good", "bad", "skip", "")
""" "" takes a mark back."""
_MOST_BODY = 4096


@dataclass(frozen=True)
class LabelConfig:
    """Where the tiles and the marks are."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """Folder of a data set."""
    labels: Path | None = None
    """File that marks are appended to; default: DATASET/labels.jsonl."""
    reference: str = ""
    """Reference set that the page shows the vote of; empty: the one that comes with the package."""
    host: str = "127.0.0.1"
    """Address to listen at. The page asks for no password: leave it at this machine unless the network is trusted."""
    port: int = 8765
    """Port to listen at."""
    export: Path | None = None
    """Write the marks as a reference file for `--quality.reference`, and open no page."""


class Labels:
    """Marks of several raters in a JSON-lines file that only grows; the last mark of a rater on a tile counts."""

    def __init__(self, path: Path):
        """Raises ValueError: the file holds lines that are no marks (a last one cut short by a crash is left out)."""
        self._marks: dict[str, dict[str, str]] = {}
        self._journal = Journal(path, self._take, "mark of a tile")

    @property
    def path(self) -> Path:
        """The file."""
        return self._journal.path

    def add(self, rater: str, tile_id: str, mark: str) -> None:
        """Append a mark; it is on the disk when this returns."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._journal.append(lambda: {"tile_id": tile_id, "rater": rater, "label": mark, "time": now})

    def of(self, rater: str) -> dict[str, str]:
        """Tile -> mark of one rater, oldest first."""
        self._journal.refresh()
        return dict(self._marks.get(rater, {}))

    def agreed(self) -> dict[str, bool]:
        """Tile -> whether most raters call it good; without tiles that are skipped or on which they are divided."""
        votes: dict[str, Counter[str]] = {}
        for marks in self._marks.values():
            for tile, mark in marks.items():
                votes.setdefault(tile, Counter())[mark] += 1
        return {t: v["good"] > v["bad"] for t, v in sorted(votes.items()) if v["good"] != v["bad"]}

    def _take(self, record: dict[str, Any]) -> None:
        rater, tile, mark = record["rater"], record["tile_id"], record["label"]
        if mark not in MARKS or not isinstance(rater, str) or not isinstance(tile, str):
            raise TypeError(mark)
        marks = self._marks.setdefault(rater, {})
        marks.pop(tile, None)
        if mark:
            marks[tile] = mark


class Tiles:
    """The accepted tiles of a data set with their features, those that the vote is least sure of first."""

    def __init__(self, path: Path, reference: str = ""):
        self.dataset = Dataset(path)
        frame = self.dataset.tiles()
        self.reference = load_reference(reference)
        numbers = frame[list(STATISTICS)].to_numpy(float)
        self.features = dict(zip(frame["tile_id"].tolist(), numbers))
        doubt = np.abs(numbers[:, STATISTICS.index("q_good")] - 0.5)
        self.order = frame["tile_id"].to_numpy()[np.lexsort([frame["tile_id"].to_numpy(str), doubt])].tolist()
        self._lock = threading.Lock()

    def voted(self, tile_id: str) -> np.ndarray:
        """Features (12,) that are voted on."""
        numbers = self.features[tile_id]
        return np.array([numbers[STATISTICS.index(name)] for name in VOTED])

    def facts(self, tile_id: str) -> dict[str, Any]:
        """What the page shows beside a tile: all figures but the one that is the vote of its neighbours."""
        numbers = zip(STATISTICS, self.features[tile_id])
        return {
            "tile_id": tile_id,
            "features": {name: round(float(v), 4) for name, v in numbers if name != "q_good"},
        }

    def vote(self, tile_id: str) -> dict[str, Any]:
        """What the nearest known tiles say of a tile, for a rater who has marked it."""
        near = self.reference.nearest(self.voted(tile_id), QualityConfig().neighbours)
        return {
            "vote": round(float(self.reference.good[near].mean()), 3),
            "neighbours": [
                {"good": bool(self.reference.good[i]), "source": self.reference.sources[i][:80]} for i in near
            ],
        }

    def png(self, tile_id: str) -> bytes:
        """The picture of a tile."""
        with self._lock:
            return encode_png(self.dataset.image(tile_id))


def label_tiles(config: LabelConfig) -> dict[str, Any]:
    """Serve the page until it is stopped, or export the marks.

    Returns:
        `labels` (file), `good`, `bad` (tiles on which raters agree), `export` (file, "" without).

    Raises:
        ValueError: no data set, broken marks, marks of one kind only on export, or the extra `serve` is not installed.
    """
    labels = Labels(config.labels or config.dataset / "labels.jsonl")
    tiles = Tiles(config.dataset, config.reference)
    if config.export is not None:
        export(config.export, labels, tiles)
    else:
        serve(make_app(tiles, labels, config.host), config.host, config.port, "Mark tiles")
    agreed = labels.agreed()
    good = sum(agreed.values())
    found = {"labels": str(labels.path), "good": good, "bad": len(agreed) - good}
    return {**found, "export": str(config.export or "")}


def export(path: Path, labels: Labels, tiles: Tiles) -> None:
    """Write the tiles on which raters agree as a reference set."""
    agreed = {tile: good for tile, good in labels.agreed().items() if tile in tiles.features}
    if len(set(agreed.values())) < 2:
        raise ValueError(f"{labels.path} needs both good and bad tiles of this data set before they can be exported.")
    features = np.array([tiles.voted(tile) for tile in agreed])
    reference = Reference(features, np.array(list(agreed.values())), tuple(agreed))
    write_reference(path, reference, {"made_by": "knowlip dataset label"})


def make_app(tiles: Tiles, labels: Labels, host: str = "127.0.0.1") -> Any:
    """The page and its requests as an ASGI application."""
    app = application(host)
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response

    # Every answer carries the whole state: a rater may reload, or go on in another window, and sees the same.
    def state(rater: str, tile_id: str = "", before: dict[str, Any] | None = None) -> Response:
        marks = labels.of(rater)
        tile_id = tile_id or next((tile for tile in tiles.order if tile not in marks), "")
        done = sum(tile in tiles.features for tile in marks)
        facts = tiles.facts(tile_id) if tile_id else {"tile_id": ""}
        counts = Counter(marks.values())
        numbers = {"done": done, "total": len(tiles.order), "good": counts["good"], "bad": counts["bad"]}
        return JSONResponse({**facts, **numbers, "before": before})

    async def show(request: Request) -> Response:
        return html_page("label.html")

    async def following(request: Request) -> Response:
        return state(rater_name(request.query_params.get("rater")))

    def picture(request: Request) -> Response:
        tile_id = request.path_params["tile_id"]
        if tile_id not in tiles.features:
            raise Refused("There is no such tile.", 404)
        return Response(tiles.png(tile_id), media_type="image/png", headers={"Cache-Control": "max-age=3600"})

    async def mark(request: Request) -> Response:
        record = await json_body(request, _MOST_BODY)
        rater, wanted, tile_id = rater_name(record.get("rater")), record.get("label"), record.get("tile_id")
        if wanted == "undo":
            before = labels.of(rater)
            if not before:
                raise Refused("There is nothing to take back.", 409)
            last = next(reversed(before))
            labels.add(rater, last, "")
            return state(rater, last if last in tiles.features else "")
        if wanted not in MARKS[:3] or not isinstance(tile_id, str) or tile_id not in tiles.features:
            raise Refused("There is no such tile or label.")
        labels.add(rater, tile_id, wanted)
        # The vote goes out with the answer to the mark alone: a page that had it before could show it before.
        return state(rater, before=None if wanted == "skip" else {"label": wanted, **tiles.vote(tile_id)})

    app.add_route("/", show, methods=["GET"])
    app.add_route("/next", following, methods=["GET"])
    app.add_route("/tile/{tile_id}", picture, methods=["GET"])
    app.add_route("/mark", mark, methods=["POST"])
    return app
