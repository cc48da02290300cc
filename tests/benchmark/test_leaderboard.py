"""`knowlip bench leaderboard`: what is called a difference, against independent formulas; what never stands in one
column; what is missing and why; files from anywhere."""

import csv
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from knowlip.base.files import write_json
from knowlip.base.rows import Results, Row
from knowlip.base.settings import plain
from knowlip.benchmark.leaderboard.boards import tables_of
from knowlip.benchmark.leaderboard.compare import compared, from_intervals, holm, paired
from knowlip.benchmark.leaderboard.printed import NO_SHARE, NOT_STATED, PRINTED, PrintedColumn, printed_cell
from knowlip.benchmark.leaderboard.sources import read_sources
from knowlip.benchmark.leaderboard.trials import trials_of
from knowlip.cli import main
from knowlip.pages.radar import radar_chart
from knowlip.tasks.class_rows import class_rows, predictions
from knowlip.tasks.runs import METRICS, PREDICTIONS
from tests.documented import ROOT

MODEL = Row("set", "test", "classify", "a", "top-1, linear probe", 0.8, (0.75, 0.85), 400, 0.3, "majority class")


def rows_file(folder: Path, *rows: Row, name: str = "rows", **details: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Results(tuple(rows), details, {"dataset_fingerprint": details.pop("fingerprint", "")}).write(
        folder / f"{name}.json"
    )
    return folder / f"{name}.json"


def board_of(*paths: Path) -> Any:
    ((board,),) = (table.boards for table in tables_of(read_sources(paths)))
    return board


def made(folder: Path, *paths: Path) -> dict[str, str]:
    """What is written for files."""
    assert main(["bench", "leaderboard", *map(str, paths), "--out", str(folder)]) == 0
    return {path.suffix: path.read_text() for path in folder.iterdir() if path.stem == "leaderboard"}


# ---- formulas -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "n"), [(91.11, 608), (20.50, 161), (98.70, 921)])
def test_printed_shares_have_the_interval_of_their_size(value: float, n: int) -> None:
    hits = round(value / 100 * n)
    ends = stats.binomtest(hits, n).proportion_ci(method="wilson")
    found = printed_cell(PrintedColumn("d", "m", n), value)
    low, high = map(float, found.interval.split("–"))
    assert (low, high) == (pytest.approx(100 * ends.low, abs=0.1), pytest.approx(100 * ends.high, abs=0.1))
    assert printed_cell(PrintedColumn("d", "m", None), value).interval == NOT_STATED
    assert printed_cell(PrintedColumn("d", "AP50", n, share=False), value).interval == NO_SHARE


def test_every_printed_line_has_a_value_for_every_column() -> None:
    assert [table.number for table in PRINTED] == [4, 6, 7, 8]
    assert all(len(values) == len(table.columns) for table in PRINTED for values in table.rows.values())


def test_holm_is_the_step_down_of_the_textbook() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(12) ** 3
    order = np.argsort(p)
    wanted = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order]).clip(max=1)
    assert [holm(p.tolist())[at] for at in order] == pytest.approx(wanted.tolist())
    assert holm([None, 0.04]) == [None, 0.04]


def test_a_paired_bootstrap_is_scipy_s() -> None:
    rng = np.random.default_rng(1)
    one, other = (rng.random(300) < 0.7).astype(float), (rng.random(300) < 0.6).astype(float)
    figures = [lambda weights, score=score: weights @ score / weights.sum(1) for score in (one, other)]
    ci, p = paired(*figures, [str(n) for n in range(300)], 4000)
    wanted = stats.bootstrap((one - other,), np.mean, n_resamples=4000, method="percentile", rng=2).confidence_interval
    assert ci == (pytest.approx(wanted.low, abs=0.01), pytest.approx(wanted.high, abs=0.01))
    z = (one - other).mean() / ((one - other).std(ddof=1) / math.sqrt(300))
    assert p == pytest.approx(2 * stats.norm.sf(abs(z)), abs=0.01)
    # Copies say nothing new: with each trial five times in a group the interval is as wide as with one of it.
    copied = [lambda weights, score=score: weights @ np.repeat(score, 5) / weights.sum(1) for score in (one, other)]
    again, _ = paired(*copied, [str(n // 5) for n in range(1500)], 4000)
    assert again == (pytest.approx(ci[0], abs=0.01), pytest.approx(ci[1], abs=0.01))


def test_intervals_alone_are_judged_as_independent() -> None:
    p, half = from_intervals(0.1, (0.5, 0.6), (0.4, 0.5))
    error = math.hypot(0.1, 0.1) / (2 * 1.96)
    assert p == pytest.approx(2 * stats.norm.sf(0.1 / error), rel=0.01)
    assert half == pytest.approx(1.96 * error, rel=0.001)


# ---- what is a difference -------------------------------------------------------------------------------------------


def test_bold_and_underline_only_where_the_intervals_allow_it(tmp_path: Path) -> None:
    a, b, c = (
        replace(MODEL, encoder=name, value=value, ci=(value - 0.02, value + 0.02))
        for name, value in (("a", 0.8), ("b", 0.7), ("c", 0.6))
    )
    found = made(tmp_path, rows_file(tmp_path / "in", a, b, c))
    assert r"**80\.0 %**" in found[".md"] or "**80.0 %**" in found[".md"]
    assert "<u>70.0 %</u>" in found[".html"]
    assert "<b>80.0 %</b>" in found[".html"]
    assert r"\textbf{80.0 \%}" in found[".tex"]
    wide = [replace(row, ci=(row.value - 0.2, row.value + 0.2)) for row in (a, b, c)]
    found = made(tmp_path / "wide", rows_file(tmp_path / "wide-in", *wide))
    assert "<b>80.0 %</b>" not in found[".html"]
    assert "no difference is shown from a, linear probe to b, linear probe (10.0 points" in found[".html"]
    none = [replace(row, ci=None) for row in (a, b)]
    assert "nothing tells whether" in made(tmp_path / "none", rows_file(tmp_path / "none-in", *none))[".html"]


def bench_folder(folder: Path, encoder: str, right: np.ndarray, seeds: int = 1) -> Path:
    """The folder of a bench run of classification with the tiles that are right."""
    names = [f"t{n:03d}" for n in range(len(right))]
    said = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    for seed in range(seeds):
        run = folder / f"seed-{seed}" / "fold-0"
        run.mkdir(parents=True)
        table = predictions(names, [f"g{n // 2}" for n in range(len(right))], ["x"] * len(names), ["x", "y"], said, {})
        table.to_parquet(run / PREDICTIONS, index=False)
        write_json(run / METRICS, {})
    rows = class_rows(table, "set", "test", encoder, "linear probe")
    rows_file(folder, *rows)
    return folder


def test_predictions_of_both_tell_more_than_their_intervals(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    good = rng.random(400) < 0.7
    worse = good & (rng.random(400) < 0.93)  # wrong wherever the other is, and a little more
    paths = [bench_folder(tmp_path / name, name, hit, 2) for name, hit in (("good", good), ("worse", worse))]
    board = board_of(*paths)
    standings, comparisons = compared(board)
    first = next(one for one in comparisons if one.column == "top-1")
    assert first.method == "paired bootstrap"
    assert first.apart
    assert standings["top-1"].best == "good, linear probe"
    one, other = (board.columns[0].entries[f"{name}, linear probe"].row for name in ("good", "worse"))
    assert from_intervals(first.difference, one.ci, other.ci)[0] > 0.05, "the intervals alone do not tell them apart"
    assert trials_of(one, [paths[0] / "seed-0/fold-0"]).figure(np.ones((1, 400)))[0] == pytest.approx(one.value)


def test_predictions_that_are_not_those_of_the_row_are_not_used(tmp_path: Path) -> None:
    hit = np.arange(60) % 3 > 0
    paths = [bench_folder(tmp_path / name, name, one) for name, one in (("a", hit), ("b", ~hit))]
    rows = [json.loads((path / "rows.json").read_text()) for path in paths]
    rows[0]["rows"][0]["value"] = 0.7
    (paths[0] / "rows.json").write_text(json.dumps(rows[0]))
    _, comparisons = compared(board_of(*paths))
    assert "another figure than its row" in comparisons[0].method


def test_other_trials_and_few_groups_are_not_compared(tmp_path: Path) -> None:
    hit = np.arange(40) % 3 > 0
    paths = [bench_folder(tmp_path / "a", "a", hit), bench_folder(tmp_path / "b", "b", hit[:38])]
    (board, *_), n = tables_of(read_sources(paths))[0].boards, 40
    assert [one.other_n for one in board.columns[0].entries.values()] in ([False, True], [True, False]), n
    few = [bench_folder(tmp_path / f"few-{name}", name, hit[:12]) for name in ("a", "b")]
    _, comparisons = compared(board_of(*few))
    assert comparisons[0].p is None
    assert "fewer than 8 groups" in comparisons[0].method


# ---- columns --------------------------------------------------------------------------------------------------------


def test_what_differs_never_stands_in_one_column(tmp_path: Path) -> None:
    rows = [
        MODEL,
        replace(MODEL, split="groups"),
        replace(MODEL, data="other"),
        replace(MODEL, encoder="b", n=399),
        replace(MODEL, encoder="c", floor=None, floor_name=""),
        replace(MODEL, encoder="floor:HOG", metric="top-1", value=0.4, ci=None),
        replace(MODEL, encoder="d", value=7.0, ci=None, unit="number", better="lower"),
    ]
    tables = tables_of(read_sources([rows_file(tmp_path, *rows, name="mine")]))
    names = {board.name for table in tables for board in table.boards}
    assert names == {"classify on set, test", "classify on set, groups", "classify on other, test"}
    (board,) = (board for table in tables for board in table.boards if board.name == "classify on set, test")
    assert [column.metric for column in (*board.columns, *board.rest)] == ["top-1", "top-1 (number, lower is better)"]
    found = made(tmp_path / "out", tmp_path / "mine.json")
    assert "n≠ 399" in found[".html"]
    assert "∅" in found[".html"]
    assert found[".md"].index("floor:HOG") > found[".md"].index("c, linear probe"), "floors stand last"


def test_other_numbers_of_parts_are_other_boards(tmp_path: Path) -> None:
    """Of three parts two thirds are learned from, of five four fifths: their figures are not compared."""
    row = replace(MODEL, split="groups")
    for folds in (3, 5):
        Results((replace(row, encoder=f"m{folds}"),), {}, {"folds": folds, "protocol": "groups"}).write(
            tmp_path / f"{folds}.json"
        )
    (table,) = tables_of(read_sources([tmp_path / "3.json", tmp_path / "5.json"]))
    assert [(board.split, board.lines) for board in table.boards] == [
        ("groups", ["m5, linear probe"]),
        ("groups, 3 parts", ["m3, linear probe"]),
    ]
    Results((MODEL,), {}, {"folds": 3, "protocol": "own"}).write(tmp_path / "own.json")
    assert board_of(tmp_path / "own.json").split == "test", "nothing is divided by the set's own split"


def test_rows_alone_say_their_parts(tmp_path: Path) -> None:
    """A file of rows without settings: what rows say counts, and where they say nothing the board says so."""
    row = replace(MODEL, split="groups")
    rows = [replace(row, encoder=f"m{folds}", folds=folds) for folds in (0, 3, 5)]
    (table,) = tables_of(read_sources([rows_file(tmp_path, *rows, name="mine")]))
    of = {board.split: board for board in table.boards}
    assert {split: sorted(board.lines) for split, board in of.items()} == {
        "groups": ["m0, linear probe", "m5, linear probe"],
        "groups, 3 parts": ["m3, linear probe"],
    }
    said = "Files that do not say into how many parts tiles were divided are taken to have 5: mine."
    assert said in of["groups"].notes
    assert said not in of["groups, 3 parts"].notes
    assert not any("parts" in note for note in board_of(rows_file(tmp_path / "own", MODEL)).notes)


def test_floors_of_other_trials_do_not_keep_models_from_being_compared(tmp_path: Path) -> None:
    models = [replace(MODEL, encoder=name, value=value) for name, value in (("a", 0.8), ("b", 0.5))]
    floors = [
        replace(MODEL, encoder=f"floor:{name}", metric="top-1", value=0.3, ci=None, n=500) for name in ("x", "y", "z")
    ]
    board = board_of(rows_file(tmp_path, *floors, *models))
    assert [line for line, _ in board.columns[0].ranked] == ["a, linear probe", "b, linear probe"]
    assert board.columns[0].n == 400
    assert {line for line, one in board.columns[0].entries.items() if one.other_n} == {"floor:x", "floor:y", "floor:z"}


def test_two_versions_of_a_data_set_are_two_boards(tmp_path: Path) -> None:
    paths = [rows_file(tmp_path / name, MODEL, fingerprint=name * 32, name=name) for name in ("aa", "bb")]
    (table,) = tables_of(read_sources(paths))
    assert [board.version for board in table.boards] == ["a" * 8, "b" * 8]
    for name in ("c", "d"):  # the same tiles with other labels
        setup = {"dataset_fingerprint": "a" * 64, "labels_sha256": name * 64}
        Results((MODEL,), {}, setup).write(tmp_path / f"{name}.json")
    (table,) = tables_of(read_sources([tmp_path / "c.json", tmp_path / "d.json"]))
    assert [board.version for board in table.boards] == ["aaaaaaaa cccccccc", "aaaaaaaa dddddddd"]


def test_the_same_line_of_two_files_is_named_after_them(tmp_path: Path) -> None:
    paths = [rows_file(tmp_path / "one", MODEL, name="one")]
    paths += [rows_file(tmp_path / "two", replace(MODEL, value=0.7, ci=None), name="two")]
    assert {*board_of(*paths).lines} == {"a, linear probe", "a, linear probe (two)"}
    assert [*board_of(paths[0], paths[0]).lines] == ["a, linear probe"]


def test_a_missing_cell_says_why(tmp_path: Path) -> None:
    cell = {"cell": "whole/set/own/x", "model": "broken", "task": "whole", "data": "set", "protocol": "own"}
    cell["measures"] = ["classify"]  # type: ignore[assignment]
    failed = {**cell, "state": "failed", "reason": "it fell over", "config": "", "rows": []}
    rows = (MODEL, replace(MODEL, metric="top-3, linear probe"), replace(MODEL, encoder="b"))
    found = made(tmp_path / "out", rows_file(tmp_path, *rows, suite={"cells": [failed]}))
    for text in (found[".html"], found[".md"].replace("\\", ""), found[".tex"]):
        assert "broken: failed (it fell over)" in text
        assert "not run" in text
    # Of two entries of a suite that measure one task, and of two protocols, only its own board is told.
    few = {**failed, "task": "few", "label": "few", "model": "x", "reason": "too few"}
    apart = {**failed, "task": "whole", "label": "whole", "protocol": "groups", "model": "y", "reason": "no groups"}
    boards = [replace(MODEL, split=split) for split in ("test, few", "test, whole", "groups, whole")]
    (table,) = tables_of(read_sources([rows_file(tmp_path / "two", *boards, suite={"cells": [few, apart]})]))
    assert {board.split: [one.model for one in board.missing] for board in table.boards} == {
        "test, few": ["x"],
        "test, whole": [],
        "groups, whole": ["y"],
    }
    unfit = replace(MODEL, encoder="pixels", value=None, ci=None, note="It does not read texts.")
    found = made(tmp_path / "unfit", rows_file(tmp_path / "unfit-in", MODEL, unfit))
    assert "It does not read texts." in found[".html"]


# ---- files from anywhere --------------------------------------------------------------------------------------------

EVIL = "<script>alert(1)</script> | a & b_c $x$ \\input{y} =1+1 **z** `w`"


class Seen(HTMLParser):
    """Tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)


def latex_is_sound(text: str) -> None:
    """Environments are closed, braces balance, and every line of a table has as many cells as its head."""
    begun = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    stack = []
    for what, name in begun:
        if what == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    bare = re.sub(r"\\[{}\\]", "", text)
    assert bare.count("{") == bare.count("}")
    for spec, body in re.findall(r"\\begin\{tabular\}\{(l?r*)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        lines = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert lines
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(spec) - 1}
    assert not re.search(r"(?<!\\)[#_^~]", re.sub(r"\$\\\w+\$", "", text.split(r"\begin{document}")[1]))


def test_names_are_no_markup_in_any_format(tmp_path: Path) -> None:
    evil = replace(MODEL, data=EVIL, encoder=f"={EVIL}", note=EVIL, floor_name=EVIL)
    more = replace(evil, encoder="+cmd", value=0.5, ci=(0.4, 0.6), metric=f"top-1 of {EVIL}, linear probe")
    cell = {"cell": "../../etc", "model": EVIL, "task": "classify", "data": EVIL, "protocol": EVIL}
    cells = [{**cell, "measures": ["classify"], "state": "failed", "reason": EVIL, "config": "", "rows": []}]
    found = made(tmp_path / "out", rows_file(tmp_path, evil, more, suite={"cells": cells}))
    seen = Seen()
    seen.feed(found[".html"])
    assert "script" not in seen.tags
    assert "<script" not in found[".md"]
    assert (
        len({line.count(" | ") for line in found[".md"].splitlines() if line.startswith("| =") or "HOG" in line}) <= 1
    )
    latex_is_sound(found[".tex"])
    assert r"\input{y}" not in found[".tex"]
    for row in csv.reader(found[".csv"].splitlines()):
        assert not any(one.startswith(("=", "+", "@")) for one in row)


def test_names_that_look_like_an_argument_of_a_line_are_kept_in_latex(tmp_path: Path) -> None:
    """After the end of a line, and the rule below the head, TeX takes [...] and * for arguments of these."""
    rows = [replace(MODEL, encoder=name) for name in ("[base] one", "*two")]
    text = made(tmp_path / "out", rows_file(tmp_path, *rows))[".tex"]
    assert not re.search(r"(\\\\|rule)\s*[\[*](?!2pt)", text)
    assert "{[}base] one" in text
    assert "{*}two" in text


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: {"rows": 3},
        lambda one: {"rows": []},
        lambda one: [],
        lambda one: {"rows": [3]},
        lambda one: {"rows": [{**one, "value": "high"}]},
        lambda one: {"rows": [{**one, "value": True}]},
        lambda one: {"rows": [{**one, "n": -1}]},
        lambda one: {"rows": [{**one, "ci": [0.9, 0.1]}]},
        lambda one: {"rows": [{**one, "more": 1}]},
        lambda one: {"rows": [{**one, "encoder": "x" * 2000}]},
        lambda one: {"rows": [one], "setup": []},
        lambda one: {"rows": [one], "details": {"suite": {"cells": [{"cell": 1}]}}},
        lambda one: {"rows": [one], "details": {"suite": {"cells": "x"}}},
        lambda one: {"rows": [one], "details": {"suite": {"cells": []}, "efficiency": {"a": {"ratio": "x"}}}},
        lambda one: {"sets": {"a": []}},
        lambda one: {"sets": {"a": {"floors": {"own split": {"HOG": {"top1": None, "n": 3}}}}}},
        lambda one: {"arms": {"a": {"count": {"accuracy": 2}}}},
        lambda one: {"arms": {"a": []}},
        lambda one: {"else": 1},
    ],
)
def test_a_broken_file_is_one_sentence(
    spoil: Callable[[dict[str, Any]], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(spoil(plain(MODEL))))
    assert main(["bench", "leaderboard", str(tmp_path / "bad.json"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["", "{", '{"rows": [{"value": NaN}]}', '{"rows": ' + "[" * 500 + "]" * 500 + "}"])
def test_what_is_no_json_is_one_sentence(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.json").write_text(content)
    assert main(["bench", "leaderboard", str(tmp_path / "bad.json"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    for missing in (tmp_path / "none.json", tmp_path):
        assert main(["bench", "leaderboard", str(missing), "--out", str(tmp_path / "out")]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [(lambda n: {"data": f"d{n}"}, "2,001 boards"), (lambda n: {"encoder": f"e{n}", "metric": f"m{n}"}, "cells")],
)
def test_what_is_too_much_for_a_page_is_refused(
    change: Callable[[int], dict[str, str]], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [replace(MODEL, task="t", **change(n)) for n in range(2001)]  # type: ignore[arg-type]
    assert main(["bench", "leaderboard", str(rows_file(tmp_path, *rows)), "--out", str(tmp_path / "out")]) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_cell_s_name_leads_nowhere_else(tmp_path: Path) -> None:
    bench_folder(tmp_path / "elsewhere", "a", np.arange(40) % 2 > 0)
    cell = {"cell": "../../elsewhere", "model": "a", "task": "classify", "data": "set", "protocol": "own"}
    done = {**cell, "state": "done", "reason": "", "config": "", "rows": [list(MODEL.key)]}
    (told,) = read_sources([rows_file(tmp_path / "suite", MODEL, suite={"cells": [done]})]).rows
    assert told.runs == ()


# ---- what is here ---------------------------------------------------------------------------------------------------


def test_the_results_of_the_repository_make_a_leaderboard(tmp_path: Path) -> None:
    results = ROOT / "benchmarks" / "results"
    found = made(
        tmp_path, *(results / f"{name}.json" for name in ("vision", "language", "shipped", "audit", "ablation"))
    )
    for title in ("Table 4", "Table 6", "Table 7", "Table 8", "Beside"):
        assert title in found[".html"]
    assert "blind:SmolLM2-135M" in found[".html"]
    assert found[".html"].count('class="tag">printed') == 4
    assert "http" not in re.sub(r"https?://www\.w3\.org\S*", "", found[".html"]), "nothing is loaded from elsewhere"
    latex_is_sound(found[".tex"])
    rows = list(csv.DictReader(found[".csv"].splitlines()))
    printed = [row for row in rows if row["kind"] == "printed"]
    assert {row["n"] for row in printed if row["data"] == "SAR-ACD, random 4:1"} == {"608"}
    vision = json.loads((results / "vision.json").read_text())["rows"]
    assert sum(row["source"] == "vision" for row in rows) == len(vision), "no row is left out"


def test_a_radar_leaves_out_what_was_not_measured() -> None:
    drawn = radar_chart(("a", "b", "c"), {"x <y>": (0.5, None, 0.2)}, (0.1, None, 0.1), "radar")
    assert "x &lt;y&gt;" in drawn
    with pytest.raises(ValueError, match="three axes"):
        radar_chart(("a", "b"), {}, (), "radar")


# ---- floors, intervals and shares that would mislead ----------------------------------------------------------------


def test_a_mark_is_that_of_the_highest_floor_of_the_column(tmp_path: Path) -> None:
    low = replace(MODEL, encoder="a", value=0.5, ci=(0.45, 0.55), floor=0.3)
    high = replace(MODEL, encoder="b", value=0.8, ci=(0.75, 0.85), floor=0.6, floor_name="chip size")
    board = board_of(rows_file(tmp_path, low, high))
    marks = {line: one.mark for line, one in board.columns[0].entries.items()}
    assert marks == {"a, linear probe": "▼", "b, linear probe": "▲"}
    measured = replace(MODEL, encoder="floor:pixels", metric="top-1", value=0.82, ci=None, floor=None, floor_name="")
    board = board_of(rows_file(tmp_path / "two", low, high, measured))
    assert board.columns[0].floor == (0.82, "pixels")
    assert board.columns[0].entries["b, linear probe"].mark == "≈"
    other = replace(measured, n=90)
    assert board_of(rows_file(tmp_path / "three", low, high, other)).columns[0].floor == (0.6, "chip size")
    table = list(csv.DictReader(made(tmp_path / "out", rows_file(tmp_path / "in", low, high))[".csv"].splitlines()))
    (row,) = [one for one in table if one["line"] == "a, linear probe"]
    assert (row["floor"], row["floor_name"], row["standing"]) == ("0.6", "chip size", "below")


def test_where_low_is_good_the_lowest_floor_is_the_one_to_clear(tmp_path: Path) -> None:
    errors = [
        replace(MODEL, encoder=name, metric="count mean absolute error", value=value, ci=(value - 0.1, value + 0.1))
        for name, value in (("a", 0.5), ("b", 0.9), ("c", 2.0))
    ]
    errors = [
        replace(row, task="vqa", unit="number", better="lower", floor=floor, floor_name=f"{floor}")
        for row, floor in zip(errors, (1.5, 0.8, 1.5))
    ]
    board = board_of(rows_file(tmp_path, *errors))
    assert board.lines == ["a", "b", "c"]
    assert board.columns[0].floor == (0.8, "0.8")
    assert [board.columns[0].entries[line].mark for line in board.lines] == ["▲", "≈", "▼"]


def test_an_interval_of_no_width_is_no_certainty(tmp_path: Path) -> None:
    rows = [
        replace(MODEL, encoder="a", value=1.0, ci=(1.0, 1.0)),
        replace(MODEL, encoder="b", value=0.6, ci=(0.2, 0.9)),
    ]
    standings, found = compared(board_of(rows_file(tmp_path, *rows)))
    assert found[0].p is None
    assert "an interval of no width" in found[0].method
    assert standings["top-1"].best == ""
    assert standings["top-1"].level == ("a, linear probe", "b, linear probe")


def test_equal_values_are_neither_bold_nor_underlined(tmp_path: Path) -> None:
    rows = [replace(MODEL, encoder=name, value=value) for name, value in (("a", 0.8), ("b", 0.8), ("c", 0.2))]
    rows[2] = replace(rows[2], ci=(0.15, 0.25))
    standings, _ = compared(board_of(rows_file(tmp_path, *rows)))
    assert (standings["top-1"].best, standings["top-1"].second) == ("", "")
    assert standings["top-1"].level == ("a, linear probe", "b, linear probe")


def test_who_was_measured_on_other_trials_does_not_lead(tmp_path: Path) -> None:
    lucky = replace(MODEL, encoder="lucky", value=1.0, ci=(0.9, 1.0), n=5)
    others = [replace(MODEL, encoder=name, value=value) for name, value in (("a", 0.8), ("b", 0.5))]
    assert board_of(rows_file(tmp_path, lucky, *others)).lines == [
        f"{one}, linear probe" for one in ("a", "b", "lucky")
    ]


@pytest.mark.parametrize("figures", [{"value": 85.3}, {"floor": 30.0}, {"ci": [0.8, 85.0]}, {"value": -7.0}])
def test_per_cent_in_place_of_a_share_are_refused(
    figures: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(tmp_path / "rows.json", {"rows": [{**plain(MODEL), "ci": [0.0, 1.0], **figures}]})
    (tmp_path / "out").mkdir()
    assert main(["bench", "leaderboard", str(tmp_path / "rows.json"), "--out", str(tmp_path / "out")]) == 2
    assert "a share lies between" in capsys.readouterr().err


def test_floors_of_val_and_test_are_no_floors_of_test(tmp_path: Path) -> None:
    """An audit asks about all that is held out; models are measured on test alone."""
    figure = {"HOG": {"top1": 0.6, "ci": [0.5, 0.7], "n": 40}}
    for held, split, told in (
        (["test", "val"], "test and val", False),
        (["test"], "test", False),
        (None, "test", True),
    ):
        facts = {"floors": {"own split": figure}} | ({} if held is None else {"held_out": held})
        (tmp_path / "audit.json").write_text(json.dumps({"sets": {"chips": facts}}))
        (found,) = read_sources([tmp_path / "audit.json"]).rows
        assert (found.row.split, "Of val and test together" in found.row.note) == (split, told)
    (tmp_path / "audit.json").write_text(json.dumps({"sets": {"chips": {**facts, "held_out": "test"}}}))
    with pytest.raises(ValueError, match="held_out is no list of splits"):
        read_sources([tmp_path / "audit.json"])
