"""Every page again, with markup in each column that a data set of others may hold: shown as text, or refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from knowlip.annotators.stats import TextStatsConfig, text_stats
from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.benchmark.report import ReportConfig, report
from knowlip.dataset import Dataset
from knowlip.dataset.layout import INDEX_SCHEMA
from knowlip.dataset.stats import DatasetStatsConfig, dataset_stats
from knowlip.scio.report import ScioReportConfig, scio_report
from tests.benchmark import numbered
from tests.pages.test_hostile import HOSTILE, Page

PAGES: dict[str, tuple[str, int, Callable[[Path, Path], object]]] = {
    "report": ("report.html", 1, lambda data, out: report(ReportConfig(data, out / "report.html"))),
    "stats": ("stats/stats.html", 0, lambda data, out: dataset_stats(DatasetStatsConfig(data, out / "stats"))),
    "scio": ("scio/scio-report.html", 0, lambda data, out: scio_report(ScioReportConfig(data, out / "scio"))),
    "texts": (
        "text/text-stats.html",
        0,
        lambda data, out: text_stats(TextStatsConfig(str(data), out / "text", clouds=False, projection="none")),
    ),
}
"""A page's file, how many scripts of its own it has, and what makes it."""
_CHECKED = "tile_id id scene_id root_id parent_id block shard cog png_sha256 split scale".split()
"""Columns of the index whose values are refused at open (tests/dataset/test_hostile.py)."""
INDEX = [field.name for field in INDEX_SCHEMA if field.type == pa.string() and field.name not in _CHECKED]
TEXTS = [["run", "annotator", "reason"], ["decision"], ["dimension"], ["instruction_set"], ["evidence", "marks"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("columns")
    numbered.build(folder / "ds")
    assert Dataset(folder / "ds").revisions()[:2] == [0, 1]
    return folder


def poison(path: Path, name: str) -> None:
    """Put markup into a column of a table, in every second row."""
    table = pq.read_table(path)
    values = [HOSTILE if row % 2 else value for row, value in enumerate(table[name].to_pylist())]
    at = table.schema.get_field_index(name)
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(values, pa.string())), path)


def outcome(make: Callable[[Path, Path], object], page: str, scripts: int, data: Path, out: Path) -> str:
    """ "page" or "refused"; anything that runs is an error."""
    try:
        make(data, out)
    except ValueError:
        return "refused"
    found = Page((out / page).read_text())
    assert found.scripts == scripts
    assert found.handlers == []
    return "page"


@pytest.mark.parametrize("page", PAGES)
def test_markup_in_any_column(folder: Path, page: str, tmp_path: Path) -> None:
    file, scripts, make = PAGES[page]
    made = []
    for number, columns in enumerate([INDEX, *TEXTS]):
        data = tmp_path / f"ds{number}"
        shutil.copytree(folder / "ds", data)
        for path in [data / "texts.parquet", *data.glob("revisions/*")] if number else [data / "index.parquet"]:
            for column in columns:
                poison(path, column)
        made.append(outcome(make, file, scripts, data, tmp_path / f"out{number}"))
    assert "page" in made


@pytest.mark.parametrize("page", PAGES)
def test_markup_in_the_facts_of_a_data_set(folder: Path, page: str, tmp_path: Path) -> None:
    file, scripts, make = PAGES[page]
    shutil.copytree(folder / "ds", tmp_path / "ds")
    info = read_json(tmp_path / "ds" / "dataset.json")
    more = {"config": {HOSTILE: HOSTILE}, "versions": {HOSTILE: HOSTILE}, "seeds": HOSTILE, "name": HOSTILE}
    write_json(tmp_path / "ds" / "dataset.json", {**info, **more, "mask_classes": {"1": HOSTILE}})
    assert outcome(make, file, scripts, tmp_path / "ds", tmp_path / "out") == "page"
    write_json(tmp_path / "ds" / "dataset.json", {**info, "fingerprint": HOSTILE})
    assert outcome(make, file, scripts, tmp_path / "ds", tmp_path / "out2") == "refused"
