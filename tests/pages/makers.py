"""Every page that the project makes, from data whose names and texts are markup. A new page needs a row here."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from PIL import Image

from knowlip.annotators.audit import AuditConfig, text_audit, the_sample
from knowlip.annotators.audit import page as audit_page
from knowlip.annotators.audit.page import Sheets
from knowlip.annotators.audit.store import Verdicts
from knowlip.annotators.stats import TextStatsConfig, text_stats
from knowlip.base.rows import ANNOTATOR, Results, Row
from knowlip.benchmark import run as bench
from knowlip.benchmark.audit import DatasetAuditConfig, dataset_audit
from knowlip.benchmark.leaderboard.command import LeaderboardConfig, leaderboard
from knowlip.benchmark.report import ReportConfig, report
from knowlip.cli import main
from knowlip.dataset import writer
from knowlip.dataset.png import encode_png
from knowlip.dataset.stats import DatasetStatsConfig, dataset_stats
from knowlip.inference.archive.adding import IndexConfig, index
from knowlip.inference.archive.changes import search_changes
from knowlip.inference.archive.finding import ArchiveHit, FoundInArchive, write_hits
from knowlip.inference.settings import SearchConfig
from knowlip.inference.told import ToldRow, write_told
from knowlip.language.questions import Question, QuestionType
from knowlip.scenes import SceneOverrides
from knowlip.scio.report import ScioReportConfig, scio_report
from knowlip.tasks.items.page import write_page
from knowlip.tasks.items.records import Caption, Items
from knowlip.tasks.runs import BenchTask
from knowlip.tiles import label as label_page
from tests.benchmark import numbered, test_audit, test_bench_run
from tests.inference.test_predict import shades
from tests.inference.test_predict import write as write_scene
from tests.inference.tiny_model import tiny_model
from tests.serving import at_address

HOSTILE = "</script></svg></style><script>alert(1)</script><img src=x onerror=alert(1)>\" ' {{7*7}} $\\frac$ %s"
FILE = "<img src=x onerror=alert(1)>"
"""Markup that a file or a folder may be called."""
LONG = "an_unbroken_name_of_somebody_elses_set_that_is_longer_than_a_phone_is_wide_v2_final"
TITLE = f"title {HOSTILE}"
_NEAR = ((4.31, 52.05), (4.3105, 52.0505), (4.36, 52.2), (4.0, 51.95), (4.9, 52.4), (4.95, 52.41), (5.7, 50.85))
"""Degrees; the first two are less than a hundred metres apart."""


@contextmanager
def _as_file(path: Path) -> Iterator[str]:
    yield path.as_uri()


def _served(app: Any, query: str = "") -> AbstractContextManager[str]:
    """The address of an application on this machine."""
    pytest.importorskip("uvicorn", reason="the page needs knowlip[serve]")
    return at_address(app, query)


class Hostile:
    """A data set with markup for places, sensors, reasons and texts, made once, and a folder to write to."""

    def __init__(self, folder: Path, plain: bool = False) -> None:
        self.folder, self.plain = folder, plain
        self.words = "a port, \"new\" & 'old'" if plain else HOSTILE
        text_of, write = numbered.text_of, writer.write_scene

        def written(out: Any, place: Any, rows: Any, *rest: Any) -> Any:
            for row in rows:
                row |= {"city": self.words, "country": self.words, "region": self.words, "platform": self.words}
                row["reject_reason"] = row["reject_reason"] and self.words
            return write(out, place, rows, *rest)

        with pytest.MonkeyPatch.context() as patch:
            if not plain:
                patch.setattr(numbered, "text_of", lambda number, name: f"{text_of(number, name)} {HOSTILE}")
                patch.setattr(writer, "write_scene", written)
            self.data = numbered.build(folder / "ds")

    def rows(self) -> tuple[Row, ...]:
        """Figures above, level with and below their floors, of two data sets, with the annotator's own."""
        names = ("set", "ships") if self.plain else (self.words, LONG)
        encoders = ("knowlip", "random") if self.plain else (self.words, LONG)
        found = []
        for at, (data, task) in enumerate(zip(names * 2, ("classify", "retrieve", "vqa", "classify"))):
            for place, encoder in enumerate((*encoders, f"{ANNOTATOR}{encoders[0]}", f"floor:{encoders[1]}")):
                for metric in ("top-1 accuracy", "mean F1 over classes", "image to text R@1", "count accuracy"):
                    value = 0.28 + 0.07 * ((3 * place + 2 * at + len(metric)) % 8)
                    note = self.words if place == 0 else ""
                    near = (value - 0.05, value + 0.05)
                    found.append(Row(data, "test", task, encoder, metric, value, near, 1200, 0.4, encoders[1], note))
        whole = Row(names[0], "test", "detect", encoders[0], "mean AP", 0.231, (0.2, 0.25), 90, 0.02, self.words)
        return (*found, whole, replace(whole, metric="log likelihood", unit="number", value=1.25, ci=None))


def _report(hostile: Hostile) -> AbstractContextManager[str]:
    out = hostile.folder / "report"
    (out / "run").mkdir(parents=True)
    lines = [{"step": s, "stage": 1 + s // 40, "itc": 4 - s / 50, "itm": 0.63, "infill": 5.0} for s in range(1, 100)]
    (out / "run" / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (out / "run" / "config.yaml").write_text(f"seed: 7\nnote: {json.dumps(hostile.words)}\n")
    change = {name: {"before": 0.4, "after": 0.4 + 0.1 * at, "n": 40} for at, name in enumerate("abc")}
    details = {"classify": {"by " + hostile.words: change, "said": hostile.words}}
    Results(hostile.rows(), details, {"dataset_fingerprint": hostile.data.fingerprint}).write(out / "metrics.json")
    report(
        ReportConfig(hostile.data.path, out / "r.html", out / "run", metrics=out / "metrics.json", title=hostile.words)
    )
    return _as_file(out / "r.html")


def _dataset_stats(hostile: Hostile) -> AbstractContextManager[str]:
    dataset_stats(DatasetStatsConfig(hostile.data.path, hostile.folder / "stats", hostile.words))
    return _as_file(hostile.folder / "stats" / "stats.html")


def _text_stats(hostile: Hostile) -> AbstractContextManager[str]:
    name = hostile.words.replace("=", "").replace(",", "")
    pairs = [f"{LONG}={hostile.data.path}"]
    config = TextStatsConfig(
        f"{name}={hostile.data.path}", hostile.folder / "text", compare=pairs, clouds=True, title=hostile.words
    )
    text_stats(config)
    return _as_file(hostile.folder / "text" / "text-stats.html")


def _scio(hostile: Hostile) -> AbstractContextManager[str]:
    scio_report(ScioReportConfig(hostile.data.path, hostile.folder / "scio"))
    return _as_file(hostile.folder / "scio" / "scio-report.html")


def _sample(hostile: Hostile, out: Path) -> tuple[Sheets, Verdicts, AuditConfig]:
    config = AuditConfig(hostile.data.path, out=out, report=out / "report")
    sample = the_sample(hostile.data, hostile.data.revisions()[-1], out / "sample.json", config)
    return Sheets(hostile.data, sample), Verdicts(out / "verdicts.jsonl"), config


def _audit(hostile: Hostile) -> AbstractContextManager[str]:
    sheets, verdicts, _ = _sample(hostile, hostile.folder / "audit")
    for slot, verdict in zip(sheets.slots[sheets.tiles[0]], ("right", "wrong", "unsure")):
        verdicts.judge("ann", sheets.tiles[0], slot, verdict)
    verdicts.note("ann", sheets.tiles[0], hostile.words)
    return _served(audit_page.make_app(sheets, verdicts), "?rater=ann")


def _audit_report(hostile: Hostile) -> AbstractContextManager[str]:
    sheets, verdicts, config = _sample(hostile, hostile.folder / "audited")
    for rater in (hostile.words, LONG):
        for number, tile in enumerate(sheets.tiles):
            for slot in sheets.slots[tile]:
                verdicts.judge(rater, tile, slot, ("right", "right", "wrong", "unsure")[(number + slot) % 4])
            verdicts.note(rater, tile, hostile.words)
    text_audit(config)
    return _as_file(hostile.folder / "audited" / "report" / "audit.html")


def _label(hostile: Hostile) -> AbstractContextManager[str]:
    labels = label_page.Labels(hostile.folder / "labels.jsonl")
    return _served(label_page.make_app(label_page.Tiles(hostile.data.path), labels))


def _items(hostile: Hostile) -> AbstractContextManager[str]:
    tiles = hostile.data.tiles()["tile_id"].tolist()[:6]
    kinds = [str(kind) for kind in QuestionType][:4]
    questions = [Question(tile, kind, hostile.words, hostile.words) for tile in tiles for kind in kinds]  # type: ignore[arg-type]
    captions = tuple(Caption(tile, f"{hostile.words} {LONG}") for tile in tiles)
    left = {"captions": {hostile.words: 1234}, "questions": {LONG: 7}}
    write_page(hostile.folder / "items.html", Items(captions, tuple(questions), left), hostile.data)
    return _as_file(hostile.folder / "items.html")


def _bench(hostile: Hostile) -> AbstractContextManager[str]:
    def rows(folders: Any, data: str, split: str, encoder: str) -> tuple[Row, ...]:
        found = test_bench_run.toy_rows(folders, data, split, encoder)
        return tuple(replace(row, metric=f"accuracy {hostile.words}", floor_name=hostile.words) for row in found)

    out = hostile.folder / "bench"
    with pytest.MonkeyPatch.context() as patch:
        toy = BenchTask(test_bench_run.ToyConfig, test_bench_run.toy, rows)
        patch.setattr(bench, "find_bench_task", lambda name: toy)
        line = [
            "bench",
            "run",
            "--task",
            "toy",
            "--data",
            str(hostile.data.path),
            "--encoder",
            "pixels",
            "--seeds",
            "6",
        ]
        assert main([*line, "--protocol", "groups", "--folds", "2", "--out", str(out)]) == 0
    return _as_file(out / "bench.html")


def _leaderboard(hostile: Hostile) -> AbstractContextManager[str]:
    reason = {"cell": "whole/set/own/x", "model": hostile.words, "task": "whole", "data": "set", "protocol": "own"}
    missing = {**reason, "measures": ["classify"], "state": "failed", "reason": hostile.words, "config": "", "rows": []}
    Results(hostile.rows(), {"suite": {"cells": [missing]}}, {"dataset_fingerprint": "a" * 32}).write(
        hostile.folder / "rows.json"
    )
    out = hostile.folder / "leaderboard"
    leaderboard(LeaderboardConfig(rows=[hostile.folder / "rows.json"], out=out))
    return _as_file(out / "leaderboard.html")


def _dataset_audit(hostile: Hostile) -> AbstractContextManager[str]:
    names = ("ship", "tank") if hostile.plain else (FILE, LONG)
    data = test_audit.imported(hostile.folder / "import", True, names)
    dataset_audit(DatasetAuditConfig(data, hostile.folder / "audit-of-set"))
    return _as_file(hostile.folder / "audit-of-set" / "dataset-audit.html")


def _pixels(seed: int) -> Any:
    return np.random.default_rng(seed).integers(20, 230, (96, 96)).astype(np.uint8)


def _told(hostile: Hostile) -> AbstractContextManager[str]:
    facts: dict[str, Any] = {"image": f"{hostile.words} {LONG}", "answer": hostile.words, "confidence": 0.81}
    facts |= {"caption": None, "reason": None, "probability": 0.612, "window_m": 1024.0, "column": 512, "row": 0}
    places = [(4.31, 52.05), (4.32, 52.06), (4.33, 52.05), (5.9, 51.8), None]
    rows = [
        ToldRow(facts, place and shapely.box(*place, place[0] + 0.01, place[1] + 0.01), Image.fromarray(_pixels(at)))
        for at, place in enumerate(places)
    ]
    failed = [{"image": hostile.words, "reason": hostile.words}]
    write_told(hostile.folder / "told.html", hostile.words, rows, failed)
    return _as_file(hostile.folder / "told.html")


def _found(hostile: Hostile) -> AbstractContextManager[str]:
    hits: list[ArchiveHit] = [
        {
            **{"source": hostile.words, "item": f"{hostile.words} {LONG}", "scene_id": LONG, "lon": lon, "lat": lat},
            **{"sensor": hostile.words, "date": hostile.words, "window_m": 1024.0, "resolution_m": 2.5},
            **{"similarity": 0.41, "match": 0.93},
        }  # type: ignore[typeddict-item]
        for lon, lat in _NEAR
    ]
    found: FoundInArchive = {"text": hostile.words, "like": LONG, "searched": 999, "of": 12000, "hits": hits}
    rows = [{"footprint": None, "picture": encode_png(_pixels(at))} for at in range(len(hits))]
    write_hits(hostile.folder / "found.html", found, rows)
    return _as_file(hostile.folder / "found.html")


def _changed(hostile: Hostile) -> AbstractContextManager[str]:
    folder = hostile.folder / "changes"
    model, ground = tiny_model(folder / "model"), shades(512, 768).astype(float)
    first = (ground * np.random.default_rng(1).gamma(40, 1 / 40, ground.shape)).astype(np.uint16) + 1
    second = first.copy()
    second[:256, :256] = np.sort(first[:256, :256].ravel()).reshape(256, 256)
    name = "port" if hostile.plain else FILE
    scenes = [
        write_scene(folder / f"{name}_{day}.tif", one, 4.0) for day, one in ((20240101, first), (20240601, second))
    ]
    same: dict[str, Any] = {"model": model, "device": "cpu"}
    sensor = "sim-x" if hostile.plain else FILE
    read = SceneOverrides(sensor=sensor, polarisation="VV", raster_band=1)
    index(IndexConfig(scenes=scenes, out=folder / "archive", metres_per_pixel=4.0, read=read, **same))
    config = SearchConfig(folder / "archive", changed=True, top=10, out=folder / "changed.html", **same)
    search_changes(config)
    return _as_file(folder / "changed.html")


def _web(hostile: Hostile) -> AbstractContextManager[str]:
    from tests.inference.web.sites import over_http

    folder = hostile.folder / "web"
    model = tiny_model(folder / "model")
    name = "port" if hostile.plain else FILE
    scene = write_scene(folder / f"{name}.tif", shades(512, 768), 4.0)
    read = SceneOverrides(sensor="sim-x" if hostile.plain else FILE, polarisation="VV", raster_band=1)
    index(
        IndexConfig(scenes=[scene], out=folder / "archive", metres_per_pixel=4.0, model=model, device="cpu", read=read)
    )
    return over_http(folder / "archive", model=model)


PAGES: dict[str, Callable[[Hostile], AbstractContextManager[str]]] = {
    "pages/templates/report/report.html": _report,
    "pages/templates/dataset_stats.html": _dataset_stats,
    "pages/templates/text_stats.html": _text_stats,
    "pages/templates/scio.html": _scio,
    "pages/templates/audit.html": _audit,
    "pages/templates/audit_report.html": _audit_report,
    "pages/templates/label.html": _label,
    "pages/templates/items.html": _items,
    "pages/templates/bench.html": _bench,
    "pages/templates/leaderboard.html": _leaderboard,
    "pages/templates/dataset_audit.html": _dataset_audit,
    "pages/templates/told.html": _told,
    "pages/templates/found.html": _found,
    "pages/templates/changed.html": _changed,
    "inference/web/static/index.html": _web,
}
"""What a page is made of -> what makes it and yields its address."""
