import random
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import BertTokenizer

from knowlip.models import TextTokenizer, tokenizer
from knowlip.models.tokenizer import SPECIAL, pad, tidy


def test_trained_vocabulary_reads_its_own_texts(tokenizer: TextTokenizer) -> None:
    ids = tokenizer.ids("Location: upper left and center right.")
    assert tokenizer.unk not in ids
    assert tokenizer.text(ids) == "location: upper left and center right."
    assert tokenizer.ids("water [MASK] water").count(tokenizer.mask) == 1


def test_special_tokens_are_bert_s_and_blip_s(tmp_path: Path) -> None:
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ship", "##s", "a"]) + "\n")
    tokenizer = TextTokenizer.from_vocabulary(vocabulary)
    assert len(tokenizer) == 10
    assert (tokenizer.dec, tokenizer.enc) == (8, 9)  # in BERT's 30,522 words: 30522 and 30523
    assert tokenizer.ids("A ships") == [7, 5, 6]
    with pytest.raises(ValueError, match=r"vocab\.txt"):
        TextTokenizer.from_vocabulary(tmp_path / "none.txt")


def test_token_ids_are_those_of_the_original_bert(tmp_path: Path) -> None:
    """Against transformers' own BERT tokenizer, on texts with capitals, accents, signs, long and unknown words."""
    rng = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = [*letters, *(f"##{letter}" for letter in letters), *".,;:!?%()-/'\"", "ship", "##s", "##yard", "harbour"]
    pieces += sorted({"".join(rng.choices(letters[:6], k=rng.randint(2, 4))) for _ in range(80)})
    pieces += [f"##{piece}" for piece in pieces[-40:]]
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(dict.fromkeys([*SPECIAL, *pieces])) + "\n")
    ours, theirs = TextTokenizer.from_vocabulary(vocabulary), BertTokenizer(str(vocabulary), do_lower_case=True)
    texts = [
        "Three SHIPS, at 40.5% of the Harbour (north-west)!",
        "caf\u00e9 \u4e2d\u6587 x\u00b2",
        "shipyards\tand\n\nships",
        "",
    ]
    texts += [
        "".join(rng.choices(letters[:8] + "  .,-%()'\u00e9\u00c5\u20ac", k=rng.randint(1, 60))) for _ in range(200)
    ]
    texts.append("a" * 101)  # longer than WordPiece reads
    for text in texts:
        assert ours.ids(text) == theirs.encode(text, add_special_tokens=False), text


def test_json_round_trip_and_frame(tokenizer: TextTokenizer) -> None:
    again = TextTokenizer.from_json(tokenizer.to_json())
    assert again.ids("three ships") == tokenizer.ids("three ships")
    assert len(again) == len(tokenizer)
    framed = tokenizer.frame(list(range(10, 30)), max_length=8, grounded=True)
    assert framed == [tokenizer.enc, 10, 11, 12, 13, 14, 15, tokenizer.sep]
    assert SPECIAL[0] == "[PAD]"


def test_pad_and_tidy() -> None:
    ids, keep = pad([[5, 6], [7]])
    assert ids.tolist() == [[5, 6], [7, 0]]
    assert keep.tolist() == [[True, True], [True, False]]
    assert tidy("about 10 % of the built - up area .") == "about 10% of the built-up area."


def test_the_same_texts_give_the_same_vocabulary_in_every_process() -> None:
    """The trainer's own hash maps are seeded per process; the vocabulary must not depend on them."""
    code = (
        f"import hashlib, runpy; T = runpy.run_path({tokenizer.__file__!r})['TextTokenizer']; "
        "texts = [f'{a}{b}{c} {c}{a} {b}{b}' for a in 'abcdef' for b in 'ghijkl' for c in 'mnopqr']; "
        "print(hashlib.sha256(T.train(texts, 150).to_json().encode()).hexdigest())"
    )
    digests = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(digests) == 1
