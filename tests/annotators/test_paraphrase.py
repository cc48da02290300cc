"""Paraphrases: kept only where they say the same, as a revision, and nothing is asked twice."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from knowlip.annotators.paraphrase import ParaphraseConfig, ParaphraseOptions, show, text_paraphrase
from knowlip.annotators.paraphrase.rules import REASONS, numbers, refusal, tidied
from knowlip.cli import main
from knowlip.dataset import Dataset, verify
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.marks import Sentence, joined, sentences_of
from tests.annotators.llama import llama_server
from tests.annotators.openai_stub import Reply, Stub, completion, failure
from tests.annotators.tiny_dataset import build_tiny_dataset

PLACES = ("Delft", "Rotterdam The Hague Airport", "South Holland")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("three ships are visible", "one can see 3 ships", ""),
        ("three ships are visible", "four ships are visible here", "numbers"),
        ("three ships are visible", "three ships are visible", "same words"),
        ("three ships are visible", "three aircraft are on view", "claims"),
        ("three ships are visible", "", "form"),
        ("three ships are visible", "Here it is: three ships", "form"),
        ("three ships are visible", "three ships. They are visible", "form"),
        ("three ships are visible", "three ships can be seen " + "very clearly " * 9, "length"),
        ("three ships are visible", "possibly three ships", "doubt"),
        ("possibly three ships are visible", "probably there are three ships", "doubt"),
        ("three ships are visible", "three visible ships are ships", "repetition"),
        ("three ships are visible", "three ships near Delft", "names"),
        ("three ships are visible", "three ships are visible in the north", "directions"),
        ("no ships are visible", "there are ships to see", "negation"),
        ("pretty grey tones", "nice tones of grey", "unchecked"),
    ],
)
def test_what_is_seen_is_kept_where_its_claims_are_read_back(old: str, new: str, reason: str) -> None:
    assert refusal("marine", "Count", Sentence(old, "visual"), new, PLACES) == reason
    assert reason in ("", *REASONS)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("Delft lies about 4 km away", "about 4 km from here is Delft", ""),
        ("nearest town Delft, 4 km away", "4 km off, Delft is the closest town", ""),
        ("Delft lies about 4 km away", "about 5 km from here is Delft", "numbers"),
        ("Delft lies about 4 km away", "about 4 km from here is Leiden", "names"),
        ("Delft lies about 4 km away", "about 4 km from here lies a town", "names"),
        ("Delft lies about 4 km away", "about 4 km from here is Delft in South Holland", "names"),
        ("the region is South Holland", "South Holland is its region", ""),
        ("the region is South Holland", "North Holland is its region", "names"),
        ("the C band scatters at grass", "grass scatters the C band", ""),
        ("metal reflects strongly", "strong echoes come from metal", "unchecked"),
    ],
)
def test_what_rests_on_the_place_keeps_every_name_and_number(old: str, new: str, reason: str) -> None:
    assert refusal("marine", "Environment", Sentence(old, "geo"), new, PLACES) == reason


def test_answers_are_tidied_and_numbers_read() -> None:
    assert tidied(' "Three ships are there." ') == "Three ships are there"
    assert tidied("1. three ships") == "three ships"
    assert tidied("- two") == "two"
    assert numbers("twelve of 3.5 m, a pair") == [2.0, 3.5, 12.0]


# ---- the command ----------------------------------------------------------------------------------------------------

SEEN = Sentence("three ships are visible", "visual", "count")
PLACE = Sentence("the town of Delft lies 4 km away", "geo", "nearest-city")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """21 marine tiles; their Count has two sentences, all else says "small x", and one is distrusted."""
    folder = build_tiny_dataset(tmp_path_factory.mktemp("data") / "dataset")
    data, rows = Dataset(folder), []
    text, marks = joined([SEEN, PLACE])
    for tile in data.tiles()["tile_id"]:
        for slot, dimension in enumerate(DIMENSIONS["marine"], 1):
            words, of = (text, marks) if slot == 1 else (f"small x {slot}", "")
            rows.append({"tile_id": tile, "slot": slot, "dimension": dimension, "text": words, "marks": of})
    fixed = {"revision": 0, "parent": -1, "run": "a", "instruction_set": "marine", "annotator": "a", "confidence": 0.5}
    more = {"evidence": "visual", "delta_itc": 0.0, "delta_itm": 0.0, "margin": 0.0, "reason": ""}
    frame = pd.DataFrame(rows).assign(**fixed, **more, decision="annotated")
    data.write_texts(frame)
    first = frame.iloc[[0]].assign(decision="screened")
    data.append_revision(first, "screened")
    return folder


@pytest.fixture
def dataset(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENAI_API_KEY", "word")
    return Path(shutil.copytree(original, tmp_path / "dataset"))


def reworded(body: dict[str, Any], number: int = 0) -> Reply:
    """Good words for what is seen, another number for the place, and the same words for the rest."""
    said = body["messages"][-1]["content"]
    words = {"Three ships are visible": "3 ships can be seen", "The town of Delft lies 4 km away": "Delft, 5 km off"}
    return completion(words.get(said, said))


def config(dataset: Path, stub: Stub, **changes: Any) -> ParaphraseConfig:
    patience = ParaphraseOptions(retries=1, backoff_s=0.01, price_in=1.0, price_out=2.0)
    return ParaphraseConfig(dataset, "stub", stub.url, **{"openai": patience, "variants": 2, **changes})


def test_sentences_that_say_the_same_become_a_revision(dataset: Path) -> None:
    with Stub(reworded) as stub:
        result = text_paraphrase(config(dataset, stub))
        asked = len(stub.bodies)
        again = text_paraphrase(config(dataset, stub))
        assert len(stub.bodies) == asked
    tiles = len(Dataset(dataset).tiles())
    assert (result["revision"], result["parent"]) == (2, 1)
    assert (result["sub_texts"], result["paraphrased"]) == (8 * tiles - 1, tiles - 1)
    assert (result["sentences"], result["kept"]) == (9 * tiles - 2, tiles - 1)
    assert result["reasons"] == {"same words": 7 * tiles, "numbers": tiles - 1}
    assert result["by_evidence"]["geo"] == {"sentences": tiles - 1, "kept": 0}
    assert asked == 2 * 9, "each sentence once a variant"
    assert {body["seed"] for body in stub.bodies} == {0, 1}
    assert again["revision"] == 2
    verify(dataset)
    rows = Dataset(dataset).texts()
    assert (rows["revision"] == 2).sum() == tiles - 1
    new = rows[rows["revision"] == 2]
    assert set(new["decision"]) == {"paraphrased"}
    (text,), (marks,) = set(new["text"]), set(new["marks"])
    assert sentences_of(text, marks) == [
        Sentence("3 ships can be seen", "visual", "count"),
        Sentence("The town of Delft lies 4 km away", "geo", "nearest-city"),
    ]
    assert rows["decision"].iloc[0] == "screened", "what screening distrusts stays"
    assert "reworded" in show(result)
    assert show(result).count("stay") == 2


def test_a_run_that_was_stopped_pays_nothing_twice(dataset: Path) -> None:
    def dying(body: dict[str, Any], number: int) -> Reply:
        return failure(401) if number == 5 else reworded(body)

    with Stub(dying) as stub, pytest.raises(ValueError, match="refuses the key"):
        text_paraphrase(config(dataset, stub, concurrency=1))
    answered = len(stub.bodies) - 1
    assert Dataset(dataset).revisions() == [0, 1]
    with Stub(reworded) as stub:
        result = text_paraphrase(config(dataset, stub, concurrency=3))
        assert len(stub.bodies) == 18 - answered
    assert result["usage"]["cached"] == answered >= 5
    assert result["ledger"]["requests"] == {"answered": 18}
    assert result["ledger"]["cost"] == pytest.approx(18 * (100 + 2 * 10) / 1e6)


def test_what_brings_no_answer_stays(dataset: Path) -> None:
    def mute(body: dict[str, Any], number: int) -> Reply:
        return failure(400) if number % 2 else completion("three", finish_reason="length")

    with Stub(mute) as stub:
        result = text_paraphrase(config(dataset, stub))
    assert result["reasons"] == {"no answer": result["sentences"]}
    assert (result["revision"], result["parent"]) == (1, 1)
    assert Dataset(dataset).revisions() == [0, 1]


def test_a_share_and_an_estimate(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Stub(reworded) as stub:
        assert text_paraphrase(config(dataset, stub, dry_run=True))["requests"] == 18
        some = text_paraphrase(config(dataset, stub, share=0.3))
        assert 20 < some["sub_texts"] < 80
        with pytest.raises(ValueError, match="max_cost"):
            text_paraphrase(config(dataset, stub, seed=1, variants=7, max_cost=1e-9))
    words = ["text", "paraphrase", str(dataset), "--model", "m", "--dry-run", "--openai.price_in", "1", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["cost"] > 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"share": 0.0}, "share"), ({"variants": 0}, "variants"), ({"model": ""}, "name of a model")],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ParaphraseConfig(**{"dataset": Path("d"), "model": "m", **changes})


@pytest.fixture(scope="module")
def llama() -> Iterator[tuple[str, str]]:
    """Address of llama.cpp with a small language model, and the model's name there."""
    with llama_server(2048) as found:
        yield found


def test_a_real_model_is_believed_only_where_it_says_the_same(llama: tuple[str, str], dataset: Path) -> None:
    address, model = llama
    options = ParaphraseOptions(max_tokens=40, retries=1)
    result = text_paraphrase(ParaphraseConfig(dataset, model, address, variants=1, concurrency=1, openai=options))
    assert result["usage"]["requests"] == 9
    assert result["kept"] + sum(result["reasons"].values()) == result["sentences"]
    verify(dataset)
