"""Every kind of hostile server: the outcome, what is kept, what is asked and paid, and that the key is nowhere."""

import base64
import re
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest

from knowlip.annotators.openai.reply import read_answer
from knowlip.cli import main
from knowlip.dataset import Dataset
from tests.annotators.hostile_server import KEY, KINDS, MODELS, STATUS, Hostile
from tests.annotators.tiny_dataset import build_tiny_dataset


@dataclass(frozen=True)
class Ends:
    """How the large tile ends."""

    reason: str = ""
    """Pattern of why it is in quarantine, "" = it is annotated."""
    asked: int = 1
    """Questions of it."""
    text: str = ""
    """Part of what is written about it."""
    kept: bool = True
    """Whether its last reply is an answer, which is kept and not asked for again."""
    estimated: bool = False
    """Whether the tokens of its answers are counted here."""
    stops: str = ""
    """Pattern of the sentence with which the run stops."""


COUNTED = Ends(estimated=True)
EMPTY = Ends("holds no answer")
UNUSABLE = Ends("unusable after 2 repair turns", asked=3)
REPEATS = Ends("the answer repeats the endpoint's key")
HUGE = Ends("the reply is larger than 32 MB")
LOST = Ends("connection failed", asked=2, kept=False)
LATE = Ends("no answer within 2 s, after 1 retries", asked=2, kept=False)

ENDS: dict[str, Ends] = {
    **{kind: COUNTED for kind in KINDS if kind.startswith("usage") and kind != "usage digits"},
    **{kind: EMPTY for kind in KINDS if kind.startswith("choices")},
    "choices of text": Ends(),
    "content refused in parts": Ends("refused: no$"),
    **{f"content {what}": UNUSABLE for what in ("number", "bool", "null", "nested")},
    "content 30 MB": Ends("30,000,000 characters"),
    "a lone surrogate": UNUSABLE,
    "a lone surrogate in a text": Ends(text="plain \ufffd land"),
    "a lone surrogate in escapes": UNUSABLE,
    "control characters": Ends(text="plain [2J land"),
    "control characters in escapes": Ends(text="plain [2J land"),
    "refusal object": Ends('refused: {"why": '),
    "refusal true": Ends("refused: true"),
    **{f"body {what}": Ends("is no object", estimated=True) for what in ("list", "null", "number")},
    "body deep": Ends("nested too deeply", estimated=True),
    "body deep in content": UNUSABLE,
    "body an error": Ends(r"holds no answer \(upstream is gone, \)", estimated=True),
    "body html": Ends("not JSON .*gateway", asked=2, kept=False),
    "body empty": Ends("not JSON", asked=2, kept=False),
    "body no utf-8": UNUSABLE,
    **{kind: REPEATS for kind in KINDS if kind.startswith("key in ")},
    **{kind: UNUSABLE for kind in KINDS if kind.startswith(("confidence", "boxes", "a count", "a thousand"))},
    "script in texts": Ends(text="<script>alert(1)</script>"),
    "half a body": LOST,
    "reset": LOST,
    "packed badly": Ends("cannot be unpacked", asked=2, kept=False),
    "gzip bomb": HUGE,
    "endless": HUGE,
    "drip": LATE,
    "drip of headers": LATE,
    "redirect of POST": Ends(
        stops=r"sends requests on to http://localhost:\d+/elsewhere/\[OPENAI_API_KEY\]", kept=False
    ),
    "redirect of GET": Ends(stops="sends requests on to http://localhost", asked=0, kept=False),
    "429 once": Ends(asked=2),
    "429 for ever": Ends("HTTP 429: slow down, after 1 retries", asked=2, kept=False),
    "429 with years to wait": Ends("HTTP 429: later, given up after", kept=False),
    "429 with NaN to wait": Ends(asked=2),
    "500 for ever": Ends("HTTP 500: .*odd", asked=2, kept=False),
    "503 of binary": Ends("HTTP 503", asked=2, kept=False),
    "400 with the key": Ends(r"HTTP 400: bad \[OPENAI_API_KEY\]", kept=False),
    "401 with the key": Ends(stops="refuses the key", kept=False),
    "418 deep": Ends("HTTP 418", kept=False),
    "models others with the key": Ends(
        stops=r"does not serve the model 'stub'; it serves of \[OPEN", asked=0, kept=False
    ),
}
"""What is not named ends well."""
SLOW = ("drip", "drip of headers", "a length too large, not closed", "429 with years to wait")
"""Kinds that take as long as is waited for: here the limits of time are short."""
COST = 100 * 2 / 1e6 + 10 * 10 / 1e6
"""Of an answer, by the tokens that the server states and the prices of `run`."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_dataset(tmp_path_factory.mktemp("made") / "dataset", small=0)


@pytest.fixture
def dataset(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return Path(shutil.copytree(made, tmp_path / "dataset"))


def run(dataset: Path, server: Hostile, *more: str) -> int:
    limits = "timeout_s 2 patience_s 5" if server.kind in SLOW else "timeout_s 30 patience_s 60"
    settings = f"retries 1 backoff_s 0.001 {limits} image_side 64 price_in 2 price_out 10"
    names = settings.split()
    given = [word for name, value in zip(names[::2], names[1::2]) for word in (f"--openai.{name}", value)]
    asked = ["--dataset", str(dataset), "--annotator", "openai", "--model", "stub", "--base_url", server.url]
    return main(["annotate", *asked, "--max_cost", "50", *given, *more])


def rows(dataset: Path, statement: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(dataset / ".annotate" / "ledger.sqlite") as base:
        return base.execute(statement).fetchall()


def hidden(folder: Path, said: str) -> bool:
    """Whether no file and no word holds the key, or eight characters of it in any form."""
    coded = [base64.b64encode(b" " * before + KEY.encode()).decode()[4:-4] for before in range(3)]
    forms = [KEY, KEY.encode().hex(), *coded]
    parts = {form[at : at + 12] for form in forms for at in range(len(form) - 11)}
    parts |= {KEY[at : at + 8] for at in range(len(KEY) - 7)}
    texts = [said.encode(), *(path.read_bytes() for path in folder.rglob("*") if path.is_file())]
    return not any(part.encode() in text for text in texts for part in parts)


@pytest.mark.parametrize("kind", [*KINDS, *STATUS, *MODELS, "redirect of GET"])
def test_a_hostile_server(kind: str, dataset: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ends = ENDS.get(kind, Ends())
    with Hostile(kind) as server:
        code = run(dataset, server)
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        assert hidden(dataset, out + err)
        assert server.elsewhere == 0
        assert server.asked[server.place] == ends.asked
        if ends.stops:
            assert code == 2
            assert re.search(ends.stops, err.strip().splitlines()[-1])
            return
        assert code == (1 if ends.reason else 0)  # one tile is left out
        texts = Dataset(dataset).texts().query("tile_id == 'l0'")
        (state, reason), *_ = rows(dataset, "SELECT state, reason FROM tiles WHERE tile_id = 'l0'")
        assert re.search(ends.reason, str(reason))
        assert len(texts) == (0 if ends.reason else 8)
        assert (state == "quarantined") == bool(ends.reason)
        assert ends.text in " ".join(texts["text"])
        assert Dataset(dataset).texts()["tile_id"].nunique() == 5 - bool(ends.reason)
        # The books: nothing is left in flight; what was answered has a cost, and what was lost is in doubt.
        assert rows(dataset, "SELECT COUNT(*) FROM requests WHERE state = 'sent' OR reserved > 0") == [(0,)]
        asked = rows(dataset, "SELECT cost, doubt, estimated, attempts FROM requests WHERE tile_id = 'l0'")
        assert sum(row[3] for row in asked) == server.asked[server.place]  # type: ignore[misc]
        ((cost, doubt),) = rows(dataset, "SELECT SUM(cost), SUM(doubt) FROM requests WHERE tile_id != 'l0'")
        assert cost == pytest.approx(4 * COST)
        assert doubt == 0 or kind in SLOW
        for cost, doubt, estimated, _ in asked:
            assert estimated == int(ends.estimated)
            if ends.estimated:
                assert isinstance(cost, float)
                assert COST < cost < 0.1
            elif ends.kept and ends is not HUGE:
                assert cost == pytest.approx(COST)
            else:
                assert cost is None
                assert (doubt > 0) == (kind not in STATUS or ends in (LOST, LATE, HUGE) or kind == "packed badly")  # type: ignore[operator]
        # An answer is on disk, and not asked for again, even where the run was killed before its outcome was kept.
        answers = [read_answer(path.read_bytes()) for path in (dataset / ".annotate" / "answers").rglob("*.json")]
        assert sum(answer is not None for answer in answers) >= 4 + (ends.kept and ends is not HUGE)
        shutil.rmtree(dataset / ".annotate" / "chunks")
        before = server.asked.total()
        assert run(dataset, server) == (1 if ends.reason else 0)
        assert server.asked.total() - before == (0 if ends.kept else ends.asked)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("usage missing", ""),
        ("body null", "Not one of 5 tiles could be annotated; .* is no object"),
        ("content number", "Not one of 5 tiles could be annotated; .* repair turns"),
        ("429 for ever", "Not one of 5 tiles could be annotated; .* HTTP 429"),
    ],
)
def test_a_server_that_is_hostile_to_all(
    kind: str, sentence: str, dataset: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Hostile(kind, everywhere=True) as server:
        assert run(dataset, server) == (2 if sentence else 0)
        err = capfd.readouterr().err
    assert "Traceback" not in err
    assert re.search(sentence, err)
    assert rows(dataset, "SELECT COUNT(*) FROM requests WHERE state = 'sent' OR reserved > 0") == [(0,)]


@pytest.mark.parametrize("kind", ["usage missing", "usage text", "body null", "body html", "usage zero"])
def test_max_cost_holds_whatever_a_server_states(
    kind: str, dataset: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops with one sentence, and no thread waits for what was never given back."""
    with Hostile(kind, everywhere=True) as server:
        assert run(dataset, server, "--max_cost", "0.03", "--concurrency", "3") == 2
        assert "higher --max_cost goes on" in capfd.readouterr().err
        spent = rows(dataset, "SELECT SUM(COALESCE(cost, 0) + doubt) FROM requests")[0][0]
        assert isinstance(spent, float)
        assert 0 < spent <= 0.03
        assert 0 < server.asked.total() < 5
