"""The audit: which tiles are drawn, the page by its requests and in a browser, and the numbers of the report."""

import json
import shutil
import time
from contextlib import closing

import pandas as pd
import pytest

from knowlip.annotators.audit import AuditConfig, show, text_audit, the_sample
from knowlip.annotators.audit.agreement import cohen_kappa, krippendorff_alpha
from knowlip.annotators.audit.numbers import PAPER, agreement, figures, settle
from knowlip.annotators.audit.page import Sheets, make_app
from knowlip.annotators.audit.sampling import AuditSample, Stratum, draw, load
from knowlip.annotators.audit.store import Verdicts
from knowlip.base.statistics import wilson
from knowlip.cli import main
from knowlip.dataset import Dataset, verify
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.marks import Sentence, joined
from knowlip.language.truth import judge
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.browser import Browser, find_browser
from tests.serving import at_address

KIND = {"large": "terrain", "medium": "ground", "small": "marine"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Annotated: 1 large terrain, 4 medium ground, 16 small marine tiles."""
    folder = build_tiny_dataset(tmp_path_factory.mktemp("audit") / "data")
    found = Dataset(folder)
    rows = [
        {
            "tile_id": tile,
            "revision": 0,
            "parent": -1,
            "run": "annotate",
            "instruction_set": KIND[scale],
            "slot": slot,
            "dimension": dimension,
            "text": f"<b>{dimension}</b> of {tile}",
            "annotator": "test",
            "confidence": 0.5,
            "evidence": "visual",
            "decision": "annotated",
            "delta_itc": 0.0,
            "delta_itm": 0.0,
            "margin": 0.0,
            "reason": "",
        }
        for tile, scale in found.tiles()[["tile_id", "scale"]].itertuples(index=False)
        for slot, dimension in enumerate(DIMENSIONS[KIND[scale]], 1)
    ]
    found.write_texts(pd.DataFrame(rows))
    found.publish_texts()
    return folder


@pytest.fixture
def audit(dataset, tmp_path):
    """The page of a sample of 7 tiles, its verdicts, its sheets and the settings."""
    testclient = pytest.importorskip("fastapi.testclient", reason="the page needs knowlip[serve]")
    config = AuditConfig(dataset, out=tmp_path / "audit", at_least=3)
    sample = the_sample(Dataset(dataset), 0, config.out / "sample.json", config)
    sheets, verdicts = Sheets(Dataset(dataset), sample), Verdicts(config.out / "verdicts.jsonl")
    client = testclient.TestClient(make_app(sheets, verdicts), base_url="http://127.0.0.1")
    return client, verdicts, sheets, config


def say(client, rater, tile, slot, verdict):
    return client.post("/verdict", json={"rater": rater, "tile_id": tile, "slot": slot, "verdict": verdict})


# ---- sample ---------------------------------------------------------------------------------------------------------


def test_every_stratum_gives_its_share():
    tiles = {f"t{n:04}": ("terrain", "small") for n in range(1000)}
    tiles |= {f"m{n:03}": ("marine", "medium") for n in range(150)} | {"g0": ("ground", "large")}
    strata, chosen = draw(tiles, 0.02, 5, seed=3)
    assert strata == [
        Stratum("ground", "large", 1, 1),
        Stratum("marine", "medium", 150, 5),
        Stratum("terrain", "small", 1000, 20),
    ]
    assert len(set(chosen)) == 26
    assert sum(tile[0] == "m" for tile in chosen) == 5


def test_a_seed_draws_the_same_tiles_and_a_larger_share_holds_them():
    tiles = {f"t{n:04}": ("terrain", "small") for n in range(1000)}
    _, chosen = draw(tiles, 0.02, 0, seed=3)
    assert draw(dict(reversed(tiles.items())), 0.02, 0, seed=3)[1] == chosen
    assert set(draw(tiles, 0.05, 0, seed=3)[1]) > set(chosen)
    assert set(draw(tiles, 0.02, 0, seed=4)[1]) != set(chosen)
    assert chosen != sorted(chosen)
    with pytest.raises(ValueError, match="share"):
        draw(tiles, 0.0, 0, seed=3)


def test_the_sample_is_stored_and_bound_to_its_texts(dataset, tmp_path):
    path, config = tmp_path / "sample.json", AuditConfig(dataset, at_least=2, seed=7)
    sample = the_sample(Dataset(dataset), 0, path, config)
    assert load(path) == sample == the_sample(Dataset(dataset), 0, path, AuditConfig(dataset))
    assert (sample.seed, sample.share, len(sample.tiles)) == (7, 0.02, 5)
    with pytest.raises(ValueError, match="drawn with seed 7, not 8"):
        the_sample(Dataset(dataset), 0, path, AuditConfig(dataset, seed=8))
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "texts_sha256": "0"}))
    with pytest.raises(ValueError, match="other tiles or texts"):
        the_sample(Dataset(dataset), 0, path, config)
    path.write_text(json.dumps({**record, "strata": 3}))
    with pytest.raises(ValueError, match="no sample"):
        load(path)


# ---- page -----------------------------------------------------------------------------------------------------------


def test_two_raters_resume_and_undo(audit):
    client, verdicts, _, _ = audit
    assert "src=" not in client.get("/").text.replace("img-src", "")
    first = client.get("/tile", params={"rater": "ann"}).json()
    assert (first["at"], first["total"], first["done"], len(first["texts"])) == (0, 7, 0, 8)
    assert first["country"] == "Netherlands"
    assert first["look_azimuth_deg"] is None
    assert "confidence" not in json.dumps(first)
    tile = first["tile_id"]
    assert client.get(f"/image/{tile}").content[:4] == b"\x89PNG"
    assert len(client.get("/coastline").json()["rings"]) > 10
    for slot in range(1, 9):
        state = say(client, "ann", tile, slot, "right").json()
    assert state["done"] == 1
    say(client, "bob", tile, 1, "wrong")
    assert client.get("/tile", params={"rater": "bob", "at": 0}).json()["verdicts"] == {"1": "wrong"}
    assert client.get("/tile", params={"rater": "ann"}).json()["at"] == 1
    assert client.get("/tile", params={"rater": "ann", "after": 6}).json()["at"] == 1
    say(client, "ann", tile, 8, "unsure")
    back = client.post("/undo", json={"rater": "ann"}).json()
    assert (back["tile_id"], back["slot"], back["verdicts"]["8"]) == (tile, 8, "right")
    assert "8" not in client.post("/undo", json={"rater": "ann"}).json()["verdicts"]
    client.post("/note", json={"rater": "bob", "tile_id": tile, "note": " layover "})
    again = Verdicts(verdicts.path)
    assert again.of("ann") == verdicts.of("ann") == {(tile, slot): "right" for slot in range(1, 8)}
    assert again.of("bob") == {(tile, 1): "wrong"}
    assert again.notes("bob") == {tile: "layover"}
    assert again.raters() == ["ann", "bob"]


def test_bad_requests_are_refused(audit):
    client, verdicts, sheets, _ = audit
    tile = sheets.tiles[0]
    ann = {"rater": "ann"}
    bad = [{}, {"rater": "<b>"}, {"rater": "x" * 41}, ann | {"at": 7}, ann | {"at": "-1"}, ann | {"at": "1e3"}]
    for query in [*bad, ann | {"after": "9" * 5000}]:
        assert client.get("/tile", params=query).status_code == 400
    assert client.get("/image/none").status_code == 404
    assert client.get("/image/..%2Findex.parquet").status_code == 404
    assert say(client, "ann", "none", 1, "right").status_code == 404
    assert say(client, "ann", ["x"], 1, "right").status_code == 404
    for slot in (0, 9, "1", True, 1.0, None):
        assert say(client, "ann", tile, slot, "right").status_code == 400
    assert say(client, "ann", tile, 1, "fine").status_code == 400
    assert say(client, "ann", tile, 1, ["right"]).status_code == 400
    assert client.post("/undo", json={"rater": "ann"}).status_code == 409
    assert client.post("/note", json={"rater": "ann", "tile_id": tile, "note": "x" * 1001}).status_code == 400
    kind = {"content-type": "application/json"}
    assert client.post("/verdict", content=b" " * 9000, headers=kind).status_code == 413
    assert client.post("/verdict", content=b"[" * 8000, headers=kind).status_code == 400
    assert client.post("/verdict", content=b"[]", headers=kind).status_code == 400
    assert client.post("/verdict", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert client.get("/", headers={"host": "elsewhere.example"}).status_code == 400
    assert not verdicts.path.exists()


def test_a_line_cut_short_is_dropped_and_a_broken_one_named(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    Verdicts(path).judge("ann", "t", 1, "right")
    with path.open("ab") as stream:
        stream.write(b'{"kind": "verd')
    verdicts = Verdicts(path)
    verdicts.judge("ann", "t", 2, "wrong")
    assert Verdicts(path).of("ann") == {("t", 1): "right", ("t", 2): "wrong"}
    for broken in (b"nonsense", b"[]", b'{"kind": "undo", "rater": "eve"}', b'{"kind": "verdict", "rater": "a"}'):
        path.write_bytes(broken + b"\n")
        with pytest.raises(ValueError, match="Line 1"):
            Verdicts(path)


# ---- numbers --------------------------------------------------------------------------------------------------------


def test_kappa_and_alpha_against_published_and_hand_computed_values():
    # 20 both yes, 15 both no, 5 and 10 apart: observed 0.7, chance 0.5 (the textbook example of kappa).
    first = ["y"] * 25 + ["n"] * 25
    second = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert cohen_kappa(["a", "b"], ["b", "a"]) == pytest.approx(-1.0)
    assert cohen_kappa(["a"], ["a"]) is None
    # Krippendorff (2011), example C: four observers, gaps, nominal: 0.743.
    table = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    units = [
        {str(n): value for n, value in enumerate(column) if value != "."}
        for column in zip(*(line.split() for line in table))
    ]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha([{"a": 1, "b": 1}]) is None


def test_numbers_of_a_report_by_hand():
    strata = (Stratum("marine", "medium", 100, 1), Stratum("marine", "small", 300, 2))
    sample = AuditSample(0, 0, 0.02, 1, "", "", strata, ("a", "b", "c"))
    given = {
        "ann": {("a", 1): "right", ("b", 1): "right", ("c", 1): "wrong", ("a", 2): "unsure", ("b", 2): "right"},
        "bob": {("a", 1): "right", ("b", 1): "unsure", ("c", 1): "wrong", ("a", 2): "unsure", ("b", 2): "wrong"},
    }
    assert settle(given) == {
        ("a", 1): "right",
        ("b", 1): "right",
        ("c", 1): "wrong",
        ("a", 2): "unsure",
        ("b", 2): "divided",
    }
    says = {("a", 1): True, ("c", 1): True}
    found = figures(sample, given, dict.fromkeys("abc", "marine"), {"a": "medium", "b": "small", "c": "small"}, says)
    assert list(found["sets"]) == ["marine"]
    count = found["sets"]["marine"]["dimensions"][0]
    assert (count["dimension"], count["right"], count["wrong"], count["paper"]) == ("Count", 2, 1, 0.78)
    assert count["accuracy"] == pytest.approx(2 / 3)
    # Wilson's formula with z = 1.96 worked out by hand for 2 of 3.
    assert count["interval"] == pytest.approx([0.2077, 0.9385], abs=2e-4)
    assert count["interval"] == list(wilson(2, 3))
    assert count["truth"] == {"judged": 2, "accuracy": 1.0, "agrees": 0.5}
    location = found["sets"]["marine"]["dimensions"][1]
    assert location["accuracy"] is None
    assert location["unsure_share"] == 0.5
    assert found["overall"]["divided"] == 1
    # Medium tiles all right, small ones half: 100 and 300 tiles.
    assert found["sets"]["marine"]["weighted"] == pytest.approx(0.25 + 0.75 * 0.5)
    pair = found["agreement"]["pairs"][0]
    # Same on 3 of 5; chance (3 * 1 + 1 * 2 + 1 * 2) / 25.
    assert pair["same"] == 0.6
    assert pair["kappa"] == pytest.approx((0.6 - 0.28) / 0.72)
    assert agreement({"ann": given["ann"]}) == {"pairs": [], "alpha": None, "judged_twice": 0}
    assert [sum(PAPER[kind]) for kind in ("ground", "marine", "terrain")] == [593, 657, 673]


def test_sentences_are_counted_by_what_they_rest_on():
    sample = AuditSample(0, 0, 0.02, 1, "", "", (Stratum("marine", "small", 2, 2),), ("a", "b"))
    given = {"ann": {("a", 1): "right", ("a", 9): "right", ("b", 1): "wrong", ("b", 9): "right", ("b", 18): "wrong"}}
    rests = {("a", 1): "visual", ("b", 1): "visual", ("a", 9): "geo", ("b", 9): "geo", ("b", 18): "prior"}
    found = figures(sample, given, dict.fromkeys("ab", "marine"), dict.fromkeys("ab", "small"), {}, rests)
    by = found["by_evidence"]
    assert {kind: (of["right"], of["wrong"]) for kind, of in by.items()} == {
        "visual": (1, 1),
        "geo": (2, 0),
        "prior": (0, 1),
    }
    assert by["geo"]["interval"] == list(wilson(2, 2))
    assert (found["overall"]["right"], found["overall"]["wrong"]) == (1, 1), "of what the sub-texts are about"
    assert found["raters"]["ann"]["judged"] == 5


def test_sentences_of_a_sub_text_are_judged_one_by_one(dataset, tmp_path):
    copy = Dataset(shutil.copytree(dataset, tmp_path / "data", ignore=shutil.ignore_patterns("audit")))
    texts = copy.texts()
    text, marks = joined([Sentence("three ships", "visual", "count"), Sentence("Lyon lies near", "geo", "city")])
    first = texts.index[0]
    texts.loc[first, ["text", "marks"]] = text, marks
    tile, slot = texts.loc[first, "tile_id"], int(texts.loc[first, "slot"])
    copy.append_revision(texts.loc[[first]], "marked")
    config = AuditConfig(copy.path, share=1.0, out=tmp_path / "audit", report=tmp_path / "report")
    sheets = Sheets(copy, the_sample(copy, 1, tmp_path / "audit" / "sample.json", config))
    parts = {part["slot"]: (part["text"], part["rests_on"]) for part in sheets.texts[tile]}
    assert parts[slot] == ("Three ships", "visual")
    assert parts[slot + 8] == ("Lyon lies near", "geo")
    assert sheets.slots[tile] == [*range(1, 9), slot + 8]
    verdicts = Verdicts(tmp_path / "audit" / "verdicts.jsonl")
    verdicts.judge("ann", tile, slot, "wrong")
    verdicts.judge("ann", tile, slot + 8, "right")
    result = text_audit(config)
    assert result["by_evidence"]["geo"]["right"] == result["by_evidence"]["visual"]["wrong"] == 1
    assert "geo 100.0% of 1" in show(result)
    assert "where the tile lies" in (tmp_path / "report" / "audit.html").read_text()


def test_report_files(audit, dataset, tmp_path):
    pytest.importorskip("matplotlib", reason="the chart needs matplotlib")
    _, verdicts, sheets, config = audit
    config = AuditConfig(dataset, out=config.out, report=tmp_path / "report")
    with pytest.raises(ValueError, match="no verdicts"):
        text_audit(config)
    for number, tile in enumerate(sheets.tiles[:6]):
        for slot in sheets.slots[tile]:
            verdicts.judge("ann", tile, slot, ("right", "right", "wrong", "unsure")[(number + slot) % 4])
            verdicts.judge("bob", tile, slot, ("right", "wrong", "wrong", "unsure")[(number + slot) % 4])
    verdicts.note("bob", sheets.tiles[0], "<script>alert(1)</script>")
    result = text_audit(config)
    assert result["judged"] == {"ann": 6, "bob": 6}
    report = json.loads((config.report / "audit.json").read_text())
    # 48 sub-texts: 12 right, 12 divided, 12 wrong, 12 unsure.
    assert [report["overall"][k] for k in ("right", "divided", "wrong", "unsure")] == [12, 12, 12, 12]
    assert "50.0%" in show(result)
    assert report["agreement"]["pairs"][0]["kappa"] == pytest.approx((0.75 - 5 / 16) / (11 / 16))
    page = (config.report / "audit.html").read_text()
    assert "<script" not in page
    assert "http" not in page
    assert (config.report / "audit.png").read_bytes()[:4] == b"\x89PNG"
    verify(dataset)


def test_truth_stands_beside_the_raters(audit, dataset, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="the chart needs matplotlib")
    _, verdicts, sheets, config = audit
    command = ["text", "audit", str(dataset), "--out", str(config.out), "--judge"]
    for number, tile in enumerate(sheets.tiles):
        for slot in sheets.slots[tile]:
            verdicts.judge("ann", tile, slot, "right" if number else "wrong")
    assert main(command) == 2
    assert "give --report" in capsys.readouterr().err
    assert main([*command, "--report", str(tmp_path / "report")]) == 2
    assert "no truth to judge by" in capsys.readouterr().err
    truth = {
        tile: {"objects": [], "buildings": 0, "shares": {"water": 1.0}, "grid": [{"water": 1.0}] * 9}
        for tile in sheets.tiles
    }
    monkeypatch.setattr(Dataset, "truth", lambda self: truth)
    assert main([*command, "--report", str(tmp_path / "report")]) == 0
    report = json.loads((tmp_path / "report" / "audit.json").read_text())
    found, rated = {}, {}
    for tile in sheets.tiles:
        for text in sheets.texts[tile]:
            window_m = float(sheets.facts(tile)["window_m"])
            verdict = judge(sheets.instruction_set[tile], text["dimension"], text["text"], truth[tile], window_m)
            if verdict is not None:
                found[tile, text["slot"]], rated[tile, text["slot"]] = verdict, tile != sheets.tiles[0]
    rows = [row["truth"] for of_kind in report["sets"].values() for row in of_kind["dimensions"]]
    assert sum(row["judged"] for row in rows) == len(found) > 0
    right = sum(row["judged"] * row["accuracy"] for row in rows if row["judged"])
    assert right == pytest.approx(sum(found.values()))
    agreed = sum(row["judged"] * row["agrees"] for row in rows if row["judged"])
    assert agreed == pytest.approx(sum(found[unit] == rated[unit] for unit in found))
    assert "truth agrees" in (tmp_path / "report" / "audit.html").read_text()


def test_verify_does_not_mind_an_audit_in_the_data_set(dataset, monkeypatch):
    served = []
    monkeypatch.setattr(
        "knowlip.annotators.audit.serve", lambda app, host, port, what: served.append((host, port, what))
    )
    result = text_audit(AuditConfig(dataset))
    assert served == [("127.0.0.1", 8766, "Judge the texts of 10 tiles (revision 0)")]
    assert result["judged"] == {}
    assert (dataset / "audit" / "revision-0" / "sample.json").exists()
    verify(dataset)
    with pytest.raises(ValueError, match="revision 3"):
        text_audit(AuditConfig(dataset, revision=3))


# ---- browser --------------------------------------------------------------------------------------------------------


def test_the_page_is_driven_by_keys(audit, tmp_path):
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium on this machine")
    pytest.importorskip("uvicorn", reason="the page needs knowlip[serve]")
    client, verdicts, sheets, _ = audit
    with at_address(client.app) as address, closing(Browser(program, tmp_path / "profile")) as browser:
        browser.open(f"{address}?rater=ann")
        browser.wait(
            "document.querySelectorAll('li').length === 8 && document.getElementById('tile').naturalWidth === 96"
        )
        one, two = sheets.tiles[:2]
        browser.press("r", "w", "u", "6", "r")
        browser.wait("document.querySelectorAll('li.right').length === 2")
        browser.press("z", "r", "+", "g", "n", "g", "r", "Escape")
        browser.press("4", "w", "w", "r", "r", "Enter")
        browser.wait(f"document.getElementById('name').textContent === '{two}'")
        expected = ["right", "wrong", "unsure", "wrong", "wrong", "right", "right", "right"]
        end = time.monotonic() + 5
        while len(verdicts.of("ann")) < 8 and time.monotonic() < end:
            time.sleep(0.02)
        assert [verdicts.of("ann").get((one, slot)) for slot in range(1, 9)] == expected
        assert verdicts.notes("ann") == {one: "gr"}
        browser.press("ArrowLeft")
        browser.wait("document.querySelectorAll('li.wrong').length === 3")
        assert browser.value("document.getElementById('note').value") == "gr"
        # What an annotator wrote is shown as it is, and never becomes part of the page.
        assert browser.value("document.querySelectorAll('li b').length") == 0
        # On a phone image and sentence are seen together, also where the last sentence is looked at.
        browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=False)
        assert browser.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        browser.value("document.querySelector('li:last-child').scrollIntoView({block: 'end'})")
        browser.wait(
            "(() => { const a = document.getElementById('view').getBoundingClientRect(), "
            "b = document.querySelector('li:last-child').getBoundingClientRect(); "
            "return a.top >= 0 && a.bottom <= b.top && b.bottom <= innerHeight + 1; })()"
        )
        browser.open(f"{address}?rater=bob")
        browser.wait("document.getElementById('count').textContent.startsWith('tile 1, 0 of 7')")
        assert browser.errors == []
