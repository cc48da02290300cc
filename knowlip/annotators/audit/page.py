"""The page on which experts judge sub-texts, by its requests."""

import math
import re
import threading
from importlib.resources import files
from typing import Any

import numpy as np

from knowlip.annotators.audit.sampling import AuditSample
from knowlip.annotators.audit.store import VERDICTS, Unit, Verdicts
from knowlip.dataset import Dataset
from knowlip.dataset.png import encode_png
from knowlip.language.dimensions import SLOTS
from knowlip.language.marks import sentences_of
from knowlip.pages.server import Refused, application, html_page, json_body, rater_name

_MOST_BODY = 8192
_MOST_NOTE = 1000


class Sheets:
    """What is shown of every sampled tile: facts, texts, picture.

    A sub-text of several sentences is judged sentence by sentence: the first has the number of its slot, 1 to 8, the
    second that plus 8, the third that plus 16.
    """

    def __init__(self, dataset: Dataset, sample: AuditSample):
        self.dataset = dataset
        self.tiles = sample.tiles
        self.number = {tile: position for position, tile in enumerate(sample.tiles)}
        self._lock = threading.Lock()
        texts = dataset.texts(sample.revision)
        texts = texts[texts["tile_id"].isin(self.number)].sort_values(["tile_id", "slot"])
        self.texts: dict[str, list[dict[str, Any]]] = {tile: [] for tile in sample.tiles}
        self.instruction_set: dict[str, str] = {}
        names = ("tile_id", "instruction_set", "slot", "dimension", "text", "marks", "evidence")
        for tile, kind, slot, dimension, text, marks, evidence in zip(*(texts[c].tolist() for c in names)):
            for number, one in enumerate(sentences_of(text, marks, evidence)):
                words, rests = (one.text, one.evidence) if marks else (text, evidence)
                part = {"slot": int(slot) + SLOTS * number, "dimension": dimension, "text": words, "rests_on": rests}
                self.texts[tile].append(part)
            self.instruction_set[tile] = kind
        for parts in self.texts.values():  # what the sub-texts are about comes first
            parts.sort(key=lambda part: int(part["slot"]))
        self.rests_on: dict[Unit, str] = {
            (tile, part["slot"]): part["rests_on"] for tile, parts in self.texts.items() for part in parts
        }
        self.slots = {tile: [text["slot"] for text in texts] for tile, texts in self.texts.items()}
        index = dataset.tiles().set_index("tile_id")
        self._rows = index.loc[list(sample.tiles)].to_dict("index")

    def facts(self, tile_id: str) -> dict[str, Any]:
        """Place, metres and sensor. How sure the annotator was is not told: raters should judge for themselves."""
        row = self._rows[tile_id]
        height, width = (int(side) for side in row["proj:shape"])
        near = [f"{kind} {row[kind]} ({row[f'{kind}_km']:.0f} km)" for kind in ("city", "airport", "port") if row[kind]]
        return {
            "tile_id": tile_id,
            "instruction_set": self.instruction_set[tile_id],
            "scale": row["scale"],
            "window_m": row["window_m"],
            "metres_per_pixel": row["metres_per_pixel"],
            "width": width,
            "height": height,
            "lon": _number(row["lon"]),
            "lat": _number(row["lat"]),
            "country": row["country"],
            "region": row["region"],
            "near": near,
            "sensor": row["platform"],
            "band": row["sar:frequency_band"],
            "look_azimuth_deg": _number(row["look_azimuth_deg"]),
        }

    def png(self, tile_id: str) -> bytes:
        """The picture of a tile."""
        with self._lock:
            return encode_png(self.dataset.image(tile_id))


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(np.round(value, 6))


def make_app(sheets: Sheets, verdicts: Verdicts, host: str = "127.0.0.1") -> Any:
    """The page and its requests as an ASGI application.

    Raises:
        ValueError: the extra `serve` is not installed.
    """
    # Whatever a request brings is checked, and a verdict is on the disk before it is answered: nothing entered is lost.
    app = application(host)
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response

    coast = (files("knowlip.pages") / "coastline.json").read_bytes()
    cached = {"Cache-Control": "private, max-age=3600"}

    def finished(given: dict[tuple[str, int], str], tile: str) -> bool:
        return all((tile, slot) in given for slot in sheets.slots[tile])

    def state(rater: str, at: int, slot: int = 0) -> Response:
        """What the page shows of tile number `at`; `slot`: the sub-text to go to, 0 for the first without verdict."""
        given = verdicts.of(rater)
        done = sum(finished(given, tile) for tile in sheets.tiles)
        tile = sheets.tiles[at]
        own = {str(slot): given[tile, slot] for slot in sheets.slots[tile] if (tile, slot) in given}
        return JSONResponse(
            {
                **sheets.facts(tile),
                "at": at,
                "slot": slot,
                "total": len(sheets.tiles),
                "done": done,
                "verdicts": own,
                "texts": sheets.texts[tile],
                "note": verdicts.notes(rater).get(tile, ""),
            }
        )

    def known(tile_id: object) -> str:
        if not isinstance(tile_id, str) or tile_id not in sheets.number:
            raise Refused("There is no such tile in the sample.", 404)
        return tile_id

    async def show(request: Request) -> Response:
        return html_page("audit.html")

    async def coastline(request: Request) -> Response:
        return Response(coast, media_type="application/json", headers=cached)

    async def tile(request: Request) -> Response:
        """One tile: number `at`, or the first that is not finished behind number `after`, from the front again."""
        rater = rater_name(request.query_params.get("rater"))
        wanted, after = request.query_params.get("at"), request.query_params.get("after", "-1")
        total = len(sheets.tiles)
        if wanted is not None:
            return state(rater, _whole(wanted, 0, total - 1))
        start = _whole(after, -1, total - 1) + 1
        given = verdicts.of(rater)
        order = [*range(start, total), *range(start)]
        return state(rater, next((n for n in order if not finished(given, sheets.tiles[n])), order[0]))

    def image(request: Request) -> Response:
        return Response(sheets.png(known(request.path_params["tile_id"])), media_type="image/png", headers=cached)

    async def judge(request: Request) -> Response:
        record = await json_body(request, _MOST_BODY)
        rater, tile_id = rater_name(record.get("rater")), known(record.get("tile_id"))
        slot, verdict = record.get("slot"), record.get("verdict")
        if type(slot) is not int or slot not in sheets.slots[tile_id]:
            raise Refused("The tile has no such sub-text.")
        if verdict not in VERDICTS:
            raise Refused(f"A verdict is {', '.join(VERDICTS)}.")
        verdicts.judge(rater, tile_id, slot, verdict)
        return state(rater, sheets.number[tile_id])

    async def note(request: Request) -> Response:
        record = await json_body(request, _MOST_BODY)
        rater, tile_id, text = rater_name(record.get("rater")), known(record.get("tile_id")), record.get("note")
        if not isinstance(text, str) or len(text) > _MOST_NOTE:
            raise Refused(f"A note is a text of up to {_MOST_NOTE} letters.")
        verdicts.note(rater, tile_id, text.strip())
        return state(rater, sheets.number[tile_id])

    async def undo(request: Request) -> Response:
        rater = rater_name((await json_body(request, _MOST_BODY)).get("rater"))
        unit = verdicts.undo(rater)
        if unit is None:
            raise Refused("There is nothing to take back.", 409)
        return state(rater, sheets.number.get(unit[0], 0), unit[1])

    app.add_route("/", show, methods=["GET"])
    app.add_route("/coastline", coastline, methods=["GET"])
    app.add_route("/tile", tile, methods=["GET"])
    app.add_route("/image/{tile_id}", image, methods=["GET"])
    app.add_route("/verdict", judge, methods=["POST"])
    app.add_route("/note", note, methods=["POST"])
    app.add_route("/undo", undo, methods=["POST"])
    return app


def _whole(text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"-?[0-9]{1,8}", text) or not low <= (number := int(text)) <= high:
        raise Refused("There is no tile of that number.")
    return number
