"""`knowlip scio show` and `report`: what they say is what the revisions hold."""

import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.dataset.figures import write_figures
from knowlip.dataset.texts import revision_path
from knowlip.scio.history import decisions, lineage, word_changes
from knowlip.scio.report import ScioReportConfig, draw_examples, scio_report
from knowlip.scio.show import ShowConfig, history_text, show_history
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.scio.decided import TILE, decide


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build_tiny_dataset(tmp_path_factory.mktemp("scio") / "dataset")
    annotate(AnnotateConfig(folder, workers=1))
    decide(folder)
    return folder


def test_what_was_not_measured_is_null_and_shown_as_such(folder: Path, tmp_path: Path) -> None:
    dataset = Dataset(shutil.copytree(folder, tmp_path / "copy"))
    rows = dataset.texts(0).query("slot == 1").assign(decision="screened", delta_itc=float("nan"), margin=float("inf"))
    dataset.append_revision(rows, "other", parent=0)
    result = show_history(ShowConfig(dataset.path, TILE))
    step = result["sub_texts"][0]["history"][-1]
    assert (step["delta_itc"], step["margin"]) == (None, None)
    assert "dITC ?" in history_text(result, colour=False)
    assert scio_report(ScioReportConfig(dataset.path, tmp_path / "out"))["examples"][0]["delta_itc"] is None


def test_columns_of_former_versions_are_read(folder: Path, tmp_path: Path) -> None:
    dataset = Dataset(shutil.copytree(folder, tmp_path / "copy"))
    rows = dataset.texts(0).query("slot == 1").assign(decision="screened", nll=1.5, max_nll=2.5, gap=0.5, noise=0.9)
    path = revision_path(dataset.path, dataset.append_revision(rows, "former", parent=0))
    table = pq.read_table(path)
    former = {"nll": "surprise", "max_nll": "worst"}
    pq.write_table(table.rename_columns([former.get(name, name) for name in table.column_names]), path)
    texts = dataset.texts().query("slot == 1")
    assert set(zip(texts["nll"], texts["max_nll"], texts["gap"], texts["noise"])) == {(1.5, 2.5, 0.5, 0.9)}


def test_changes_put_together_are_both_texts() -> None:
    old, new = "three ships lie at the <quay> now", "two tankers lie at the quay"
    changes = list(word_changes(old, new))
    assert " ".join(words for kind, words in changes if kind != "new") == old
    assert " ".join(words for kind, words in changes if kind != "gone") == new
    assert ("same", "lie at the") in changes
    assert list(word_changes(old, old)) == [("same", old)]


def test_history_holds_every_decision_on_the_tile_in_order(folder: Path) -> None:
    result = show_history(ShowConfig(folder, TILE))
    assert result["revisions"] == [0, 1, 2]
    first, second, *_ = result["sub_texts"]
    assert [step["decision"] for step in first["history"]] == ["annotated", "screened", "rewritten"]
    assert [step["decision"] for step in second["history"]] == ["annotated", "kept"]
    texts = Dataset(folder).texts().set_index(["tile_id", "slot"])["text"]
    assert [part["history"][-1]["text"] for part in result["sub_texts"]] == [texts[TILE, slot] for slot in range(1, 9)]


def test_history_of_an_older_revision_knows_nothing_of_later_ones(folder: Path) -> None:
    result = show_history(ShowConfig(folder, TILE, revision=1))
    assert [step["decision"] for step in result["sub_texts"][0]["history"]] == ["annotated", "screened"]


def test_history_of_another_line_does_not_mix(folder: Path, tmp_path: Path) -> None:
    dataset = Dataset(shutil.copytree(folder, tmp_path / "copy"))
    rows = dataset.texts(0).query("slot == 2").assign(decision="screened", reason="of another run")
    dataset.append_revision(rows, "other", parent=0)
    assert lineage(dataset) == [0, 3]
    assert lineage(dataset, 2) == [0, 1, 2]
    assert set(decisions(dataset)["decision"]) == {"annotated", "screened"}


def test_colour_and_marks_say_the_same(folder: Path) -> None:
    result = show_history(ShowConfig(folder, TILE))
    plain, coloured = history_text(result, colour=False), history_text(result, colour=True)
    assert "\x1b[" not in plain
    assert "{+Very+}" in plain
    assert "\x1b[32mVery\x1b[0m" in coloured
    bare = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert bare == plain.replace("{+", "").replace("+}", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["scio", "show", "{}", "nowhere"], "no accepted tile 'nowhere'"),
        (["scio", "show", "{}", TILE, "--revision", "9"], "no text revision 9; it has 0 to 2"),
        (["scio", "report", "{}", "--revision", "0"], "no decisions to report"),
        (["scio", "repair", "{}"], "there are scio"),
    ],
)
def test_bad_input_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert main([argument.format(folder) for argument in arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_numbers_are_those_of_the_revisions(folder: Path) -> None:
    numbers = scio_report(ScioReportConfig(folder, examples=3))
    annotation, screening, reconstruction = numbers["revisions"]
    assert annotation["kind"] == "annotation"
    assert (numbers["tiles"], numbers["sub_texts"]) == (21, 168)
    assert (screening["kind"], screening["hits"], screening["count"]) == ("screening", 21, 168)
    assert (reconstruction["kind"], reconstruction["hits"], reconstruction["count"]) == ("reconstruction", 4, 21)
    assert reconstruction["reasons"] == {"not better": 17}
    assert screening["figures"]["injected"]["swap"]["auroc"] == 0.875
    for entry in (screening, reconstruction):
        for part in ("by", "by_dimension", "by_annotator"):
            assert sum(row["count"] for row in entry[part]) == entry["count"]
            assert sum(row["hits"] for row in entry[part]) == entry["hits"]
            assert all(row["low"] - 1e-9 <= row["share"] <= row["high"] + 1e-9 for row in entry[part])
        assert {row["annotator"] for row in entry["by_annotator"]} == {"measured"}, (
            "judged was what the annotator wrote"
        )
    assert all(row["share"] in (0, 1) for row in screening["by_dimension"])


def test_a_reconstruction_that_kept_everything_is_one(folder: Path, tmp_path: Path) -> None:
    dataset = Dataset(shutil.copytree(folder, tmp_path / "copy"))
    rows = dataset.texts(1).query("slot == 1").assign(decision="kept", reason="the model says the same: 'x'")
    rows.loc[rows.index[0], ["decision", "reason"]] = "rejected", "not sure (0.31 <= 0.80): 'y'"
    third = dataset.append_revision(rows, "other", parent=1)
    entry = scio_report(ScioReportConfig(dataset.path))["revisions"][-1]
    assert (entry["kind"], entry["hits"]) == ("reconstruction", 0)
    assert entry["reasons"] == {"the model says the same": 20, "not sure": 1}
    rows = rows.assign(decision="kept")
    write_figures(dataset.path, dataset.append_revision(rows, "another", parent=third), {"candidates": 21})
    assert scio_report(ScioReportConfig(dataset.path))["revisions"][-1]["kind"] == "reconstruction"


def test_examples_are_drawn_by_lot_from_all_kinds(folder: Path) -> None:
    rows = scio_report(ScioReportConfig(folder, examples=3, seed=4))["examples"]
    assert [row["decision"] for row in rows] == ["rewritten"] * 3 + ["rejected"] * 3
    assert all(row["text"] == "Very " + row["was"] for row in rows[:3])
    assert rows == scio_report(ScioReportConfig(folder, examples=3, seed=4))["examples"]
    frame = decisions(Dataset(folder), 1)
    drawn = draw_examples(frame, 500, 0)
    assert len(drawn) == 21, "screened and not judged again"


def test_page_is_whole_in_itself_and_escapes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pages"
    for _ in range(2):
        assert main(["scio", "report", str(folder), "--out", str(out), "--examples", "2"]) == 0
    assert "4 of 21 accepted (19.0%)" in capsys.readouterr().out
    html = (out / "scio-report.html").read_text()
    assert "four &lt;ships&gt;" in html
    assert "<ins>Very</ins>" in html
    assert "injected, swap, auroc" in html
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert len(json.loads((out / "scio.json").read_text())["examples"]) == 4
    (out / "scio.json").unlink()
    assert main(["scio", "report", str(folder), "--out", str(out)]) == 2


def test_json_is_the_history(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scio", "show", str(folder), TILE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == show_history(ShowConfig(folder, TILE))
