"""Injected noise changes one claim; rewrites are accepted only where every condition holds."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from knowlip.dataset import Dataset
from knowlip.language.claims import parse_claims
from knowlip.language.corruption import CORRUPTION_KINDS, corrupt, is_wrong
from knowlip.language.marks import Sentence, joined, sentences_of
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.scio import reconstruction
from knowlip.scio.evidence import Scorer, evidence
from knowlip.scio.passes import ScioConfig
from knowlip.scio.reconstruction import Acceptance, Rewrite, Trial, learn_rewrites, propose, reconstruct
from knowlip.scio.screening import corrupted, scorer_of
from knowlip.training.corpus import Corpus
from knowlip.training.tiles import load_pixels
from tests.training.runs import annotated

__all__ = ["annotated"]


@pytest.fixture
def corpus(annotated: Path, tmp_path: Path) -> Corpus:
    data = Dataset(annotated)
    texts = data.texts(0)
    tokenizer = TextTokenizer.train((texts["dimension"] + ": " + texts["text"]).to_list(), 600)
    tile_ids = sorted(data.tiles()["tile_id"])
    return Corpus(data, tokenizer, tile_ids, load_pixels(data, tile_ids, 16, tmp_path))


@pytest.fixture
def scorer(corpus: Corpus) -> Scorer:
    vision = VisionConfig("vit_tiny_patch16_224", 16, {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2})
    text = TextConfig(len(corpus.tokenizer), width=32, layers=1, heads=2, mlp_width=32, max_length=192, dropout=0.0)
    model = KnowLIP(ModelConfig(vision, text, embed_dim=8), corpus.tokenizer).eval()
    return scorer_of(model, corpus, ScioConfig(tiles_at_once=4), np.random.default_rng(0))


@pytest.mark.parametrize("kind", CORRUPTION_KINDS)
def test_a_corruption_changes_one_claim(corpus: Corpus, kind: str) -> None:
    found = corrupt(corpus.table, range(len(corpus.texts)), np.random.default_rng(0), [kind])
    assert found or kind == "count"  # not every small data set counts targets
    for one in found:
        assert one.kind == kind
        dimension, was = corpus.dimension(one.row, one.slot), corpus.words(one.row, one.slot)
        claims = [parse_claims(corpus.sets[one.row], dimension, text) for text in (was, one.text)]
        assert claims[0] != claims[1]
        text, own = corrupted(one, corpus), corpus.texts[one.row]
        assert text.hash == own.hash
        assert [a.ids == b.ids for a, b in zip(text.parts, own.parts)] == [slot != one.slot for slot in range(8)]
    assert found == corrupt(corpus.table, range(len(corpus.texts)), np.random.default_rng(0), [kind])


@pytest.mark.parametrize(
    ("kind", "was", "now", "wrong"),
    [
        ("count", "three ships are visible", "seven ships are visible", True),
        ("count", "about ten ships are visible", "about eleven ships are visible", False),  # within a quarter
        ("count", "three ships are visible", "seven aircraft are visible", False),  # another claim changed too
        ("swap", "three ships are visible", "many ships", False),  # claims nothing
        ("swap", "three ships are visible", "3 ships can be seen", False),  # claims the same
    ],
)
def test_what_counts_as_wrong(kind: str, was: str, now: str, wrong: bool) -> None:
    assert is_wrong(kind, "marine", "Count", was, now) is wrong


def marked(corpus: Corpus) -> pd.DataFrame:
    """The corpus' texts, each with a sentence behind it that rests on the place; those of one slot rest on it alone."""
    rows = []
    for row in corpus.table.to_dict("records"):
        place = Sentence(f"close to town {row['tile_id']}", "geo", "town")
        words = [place] if row["slot"] == 3 else [Sentence(row["text"], "visual", "main"), place]
        text, marks = joined(words)
        rows.append({**row, "text": text, "marks": marks, "evidence": words[0].evidence})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("kind", CORRUPTION_KINDS)
def test_only_sentences_about_the_image_are_corrupted(corpus: Corpus, kind: str) -> None:
    table = marked(corpus)
    found = corrupt(table, range(len(corpus.texts)), np.random.default_rng(0), [kind])
    assert found or kind == "count"
    for one in found:
        was = table.iloc[corpus.row(one.row, one.slot)]
        assert one.slot != 2, "nothing there rests on the image"
        old, new = (sentences_of(text, marks) for text, marks in ((was["text"], was["marks"]), (one.text, one.marks)))
        assert new[0].text != old[0].text
        assert new[0][1:] == old[0][1:]
        assert new[1:] == old[1:]


def test_unknown_kinds_are_refused(corpus: Corpus) -> None:
    with pytest.raises(ValueError, match="'typo'"):
        corrupt(corpus.table, [0], np.random.default_rng(0), ["typo"])


def rewrite(row: int, slot: int, text: str, itc: float = -1.0, itm: float = 1.0, nll: float = 0.1) -> Rewrite:
    return Rewrite(row, slot, text, itc, itm, nll, nll, 5.0, 5.0)


def test_every_condition_of_a_rewrite(corpus: Corpus, scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    row = corpus.sets.index("terrain")
    slot = corpus.table["dimension"][corpus.row(row, 0) : corpus.row(row, 7)].to_list().index("Layout")
    old = corpus.words(row, slot)
    other = "one continuous expanse of quays"
    offers = [
        rewrite(row, slot, old.upper() + "."),
        rewrite(row, slot, "nice"),
        rewrite(row, slot, ""),
        rewrite(row, slot, other, nll=9.0),
        rewrite(row, slot, other, itc=-0.01),
        rewrite(row, slot, other, itm=0.01),
        rewrite(row, slot, other, itc=1.0),
        rewrite(row, slot, other),
    ]
    monkeypatch.setattr(reconstruction, "propose", lambda *_: offers)
    sure = Acceptance([-1.0, *[0.0] * 5], 0.0, 0.2, scale_itc=1.0, scale_itm=1.0)
    decided = reconstruct(scorer, corpus, [(row, slot)] * len(offers), sure, ScioConfig(rewrite_threshold=0.1))
    assert [one.decision for one in decided] == ["kept", *["rejected"] * 6, "rewritten"]
    assert "says nothing" in decided[1].reason
    assert "not sure" in decided[3].reason
    assert "not better" in decided[4].reason
    never = Acceptance([0.0] * 6, 0.0, float("inf"), 1.0, 1.0)
    assert [one.decision for one in reconstruct(scorer, corpus, [(row, slot)], never, ScioConfig())].count(
        "rewritten"
    ) == 0


def test_where_truth_teaches_a_rewrite_is_right_when_it_is_true(
    corpus: Corpus, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = corpus.sets.index("terrain")
    slot = corpus.table["dimension"][corpus.row(row, 0) : corpus.row(row, 7)].to_list().index("Layout")
    says = {"one continuous expanse of quays": True, "one continuous expanse of water": False, "nobody knows": None}
    monkeypatch.setattr(corpus, "verdict", lambda tile, at, words: says[words])
    monkeypatch.setattr(reconstruction, "says_something", lambda *_: True)
    trials = [Trial(row, slot, corpus.texts[row], corpus.words(row, slot))] * 90
    # The model is sure of what is true: that is what the gate must learn, and what cannot be judged does not count.
    offers = [rewrite(row, slot, words, nll=9.0 * (says[words] is not True)) for words in says for _ in range(30)]
    for at, one in enumerate(offers):
        one.row = at % len(corpus.texts)  # groups of the cross-validation
    learned = learn_rewrites(corpus, trials, offers, 0.0, ScioConfig(errors="truth", accept_precision=0.8))
    assert learned.figures["changed"] == 60
    assert learned.figures["right"] == 30
    assert learned.figures["precision"] >= 0.8
    assert (learned.probability(offers[:30]) > learned.threshold).all()
    assert learned.probability(offers[30:60]).max() < 0.1


def test_whole_texts_are_tested_with_all_rewrites_in(
    corpus: Corpus, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, donor = [(0, 1), (0, 4), (2, 3)], 5
    old = [corpus.texts[row] for row, _ in places]

    def offers(*_: Any) -> Sequence[Rewrite]:
        return [rewrite(row, slot, corpus.words(donor, slot)) for row, slot in places]

    monkeypatch.setattr(reconstruction, "propose", offers)
    monkeypatch.setattr(reconstruction, "_wording", lambda *_: ("", ""))
    sure = Acceptance([0.0] * 6, 9.0, 0.0, 0.0, 0.0)
    for baseline in ("current", "without"):
        config = ScioConfig(policy="whole", baseline=baseline)  # type: ignore[arg-type]
        first, second, third = reconstruct(scorer, corpus, places, sure, config)
        assert (first.delta_itc, first.delta_itm) == (second.delta_itc, second.delta_itm)
        for one, slots in ((first, (1, 4)), (third, (3,))):
            new = [
                corpus.texts[one.row].parts[j] if j not in slots else _part(corpus, one.row, j, donor) for j in range(8)
            ]
            whole = [token for part in new for token in part.ids]
            keep = [not (baseline == "without" and j in slots) for j in range(8)]
            texts = [whole, corpus.texts[one.row].ids_of(keep)]
            image = scorer.encode([one.row])[1]
            loss = scorer.contrast(image[[0, 0]], scorer.embed(texts), [one.row] * 2, [corpus.texts[one.row].hash] * 2)
            assert one.delta_itc == pytest.approx(loss[0] - loss[1], abs=1e-4)
            better = one.delta_itc < 0 < one.delta_itm
            assert (one.decision == "rewritten") == better
    assert [text.ids() for text in old] == [corpus.texts[row].ids() for row, _ in places]


def _part(corpus: Corpus, row: int, slot: int, donor: int) -> Any:
    return corpus.with_text(row, slot, corpus.words(donor, slot)).parts[slot]


def test_proposals_are_compared_with_the_old_words(corpus: Corpus, scorer: Scorer) -> None:
    places, scorer = [(0, 0), (3, 7)], copy.copy(scorer)
    scorer.holes_at_once = 1
    olds = [corpus.texts[row] for row, _ in places]
    was = [corpus.words(*place) for place in places]
    for one, old in zip(propose(scorer, corpus, places, olds, was, ScioConfig(max_new_tokens=6)), olds):
        new = corpus.with_text(one.row, one.slot, one.text)
        image = scorer.encode([one.row])[1]
        loss = scorer.contrast(image[[0, 0]], scorer.embed([new.ids(), old.ids()]), [one.row] * 2, [old.hash] * 2)
        assert one.delta_itc == pytest.approx(loss[0] - loss[1], abs=1e-4)
        said = evidence(scorer, [old], [one.row], [{one.slot}], ["nll"])
        assert one.old_nll == pytest.approx(said.nll[0, one.slot], abs=1e-4)
        assert one.old_max_nll == pytest.approx(said.max_nll[0, one.slot], abs=1e-4)
