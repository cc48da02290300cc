"""The file of rows that several benchmarks share."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from benchmarks.record import merge_rows
from knowlip.base.documents import read_json
from knowlip.base.rows import Row

ROW = Row("set", "own", "segment", "e", "mIoU", 0.5, (0.4, 0.6), 10, 0.3, "grey level")


def test_rows_of_one_key_are_replaced_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "results" / "vision.json"
    merge_rows(path, [ROW, replace(ROW, metric="OA")], 12.34, "python -m one")
    merge_rows(path, [replace(ROW, value=0.55), replace(ROW, task="classify")], None, "python -m two")
    rows = {(row["task"], row["metric"]): row for row in read_json(path)["rows"]}
    assert len(rows) == 3
    assert (rows["segment", "mIoU"]["value"], rows["segment", "mIoU"]["command"]) == (0.55, "python -m two")
    assert (rows["segment", "OA"]["cpu_seconds"], rows["classify", "mIoU"]["cpu_seconds"]) == (12.3, None)
    assert [path.name for path in path.parent.iterdir()] == ["vision.json"]


def test_benchmarks_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "vision.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: merge_rows(path, [replace(ROW, metric=f"m{n}")], 1.0, "c"), range(24)))
    assert len(read_json(path)["rows"]) == 24
