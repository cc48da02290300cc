"""WordPiece tokenizer with the special tokens of BERT and BLIP: BERT's own vocabulary, or a small one trained on the
texts."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor

from knowlip.base.documents import read_json
from knowlip.models.special import EXTRA, SPECIAL

_MOST_BYTES: Final = 64 << 20
"""Of a vocab.txt; that of the largest published BERT has 5 MB."""
_NONE: Final = ("post_processor", "truncation", "padding")
"""What Hugging Face's format has besides, and ours leaves out."""
_LONGEST_WORD: Final = 100
"""Characters of a word that WordPiece reads; a longer one is unknown (BERT's)."""


@dataclass(frozen=True)
class Casing:
    """What a BERT's tokenizer does to letters before it looks words up, in the words of Hugging Face's settings."""

    lowercase: bool = True
    strip_accents: bool | None = None
    """None: where it lower-cases."""
    chinese_apart: bool = True
    """Whether every Chinese character is a word."""


def _bert(model: models.WordPiece, casing: Casing = Casing()) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=casing.lowercase,
        strip_accents=casing.strip_accents,
        handle_chinese_chars=casing.chinese_apart,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=True)
    return tokenizer


def read_vocabulary(vocab_txt: Path) -> list[str]:
    """The words of a BERT's `vocab.txt`, one a line, in order; a byte order mark and Windows' line ends are no part of
    them.

    Raises:
        ValueError: it is missing, no text, too long, or has a word twice.
    """
    if not vocab_txt.is_file():
        raise ValueError(f"{vocab_txt} does not exist: give the vocab.txt of a BERT.")
    if vocab_txt.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{vocab_txt} is larger than {_MOST_BYTES >> 20} MiB: it is no vocab.txt of a BERT.")
    try:
        text = vocab_txt.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{vocab_txt} is not text in UTF-8: give the vocab.txt of a BERT.") from None
    # Other characters that end lines, such as U+2028, are words of some vocabularies: only line feeds part them here.
    words = [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]
    if len(set(words)) != len(words):
        twice = next(word for word, count in Counter(words).items() if count > 1)
        raise ValueError(
            f"{vocab_txt} has {twice[:40]!r} more than once: give the vocab.txt of a BERT, one word a line."
        )
    return words


def read_casing(folder: Path, words: Sequence[str]) -> tuple[Casing, str]:
    """Whether a BERT is cased, and who says so.

    Args:
        folder: where its `tokenizer_config.json` or `tokenizer.json` may lie.
        words: its vocabulary. Where neither file is there, one with capitals is a cased one's: after lower-casing they
            could never be met.

    Returns:
        The casing, and a sentence for people.

    Raises:
        ValueError: a file beside it is broken.
    """
    config, whole = folder / "tokenizer_config.json", folder / "tokenizer.json"
    said: dict[str, Any] = {}
    if whole.is_file():
        found = _mapping(_mapping(read_json(whole), whole).get("normalizer") or {}, whole)
        said = {"lowercase": found.get("lowercase"), "strip_accents": found.get("strip_accents")}
        said["handle_chinese_chars"] = found.get("handle_chinese_chars")
    if config.is_file():
        found = _mapping(read_json(config), config)
        names = {"do_lower_case": "lowercase", "tokenize_chinese_chars": "handle_chinese_chars"}
        said |= {names.get(key, key): value for key, value in found.items() if value is not None}
    for key in ("lowercase", "strip_accents", "handle_chinese_chars"):
        if not isinstance(said.get(key), bool | None):
            raise ValueError(f"{config if config.is_file() else whole}: {key} must be true or false.")
    chinese = said.get("handle_chinese_chars") is not False
    if (lowercase := said.get("lowercase")) is not None:
        who = "as the file of its tokenizer says"
    else:
        lowercase = not any(word != word.lower() for word in words if not re.fullmatch(r"\[.*\]", word))
        who = f"because its vocabulary has {'no ' if lowercase else ''}words with capitals; nothing else says"
    kind = "uncased: capitals become small letters" if lowercase else "cased: capitals are kept"
    return Casing(lowercase, said.get("strip_accents"), chinese), f"The vocabulary is {kind}, {who}."


def _mapping(value: object, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a mapping of settings.")
    return value


class TextTokenizer:
    """Text to token ids and back. Sequences are framed by [CLS] or [ENC] and [SEP]; [PAD] has id 0."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        tokenizer.add_special_tokens([AddedToken(token, special=True) for token in (*SPECIAL, *EXTRA)])
        ids: dict[str, int] = tokenizer.get_vocab()
        self.pad, self.unk, self.cls, self.sep, self.mask = (ids[token] for token in SPECIAL)
        self.dec, self.enc = (ids[token] for token in EXTRA)
        if self.pad != 0:
            raise ValueError("The tokenizer's [PAD] must have id 0.")

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 3000) -> "TextTokenizer":
        """Train a WordPiece vocabulary of at most `vocab_size` entries on texts.

        The same texts give the same vocabulary: the trainer breaks ties by the ids of the pieces, and these are fixed
        by giving it all characters up front.
        """
        lines = list(texts)
        tokenizer = _bert(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
        characters = sorted({c for line in lines for c in tokenizer.normalizer.normalize_str(line) if not c.isspace()})
        pieces = [*SPECIAL, *characters, *(f"##{c}" for c in characters)]
        trainer = trainers.WordPieceTrainer(
            vocab_size=vocab_size - len(EXTRA), special_tokens=pieces, min_frequency=2, show_progress=False
        )
        tokenizer.train_from_iterator(lines, trainer)
        return cls(_bert(models.WordPiece(tokenizer.get_vocab(), unk_token="[UNK]", max_input_chars_per_word=100)))

    @classmethod
    def from_vocabulary(cls, vocab_txt: Path) -> "TextTokenizer":
        """BERT's tokenizer from its `vocab.txt` (one word a line), cased or not as :func:`read_casing` finds.

        Raises:
            ValueError: no such file, or a broken one.
        """
        words = read_vocabulary(vocab_txt)
        known = {word: place for place, word in enumerate(words)}
        casing, _ = read_casing(vocab_txt.parent, words)
        wordpiece = models.WordPiece(known, unk_token="[UNK]", max_input_chars_per_word=_LONGEST_WORD)
        return cls(_bert(wordpiece, casing))

    @classmethod
    def from_json(cls, text: str) -> "TextTokenizer":
        """The tokenizer that :meth:`to_json` wrote.

        Only what that writes is read: another kind of tokenizer may hold regular expressions that never end, or pad
        every text to any length.

        Raises:
            ValueError: it is another kind of tokenizer, or broken.
        """
        # The tokenizer is made anew from its words and casing, and must say of itself what the text says.
        try:
            said = json.loads(text)
            model, normalizer = said["model"], said["normalizer"]
            words = model["vocab"]
            casing = Casing(normalizer["lowercase"], normalizer["strip_accents"], normalizer["handle_chinese_chars"])
            sound = type(casing.lowercase) is bool and all(type(place) is int for place in words.values())
            if not sound or sorted(words.values()) != list(range(len(words))):
                raise ValueError("its words are not numbered from 0")
            made = cls(
                _bert(models.WordPiece(words, unk_token="[UNK]", max_input_chars_per_word=_LONGEST_WORD), casing)
            )
            again = json.loads(made.to_json())
        except RecursionError:
            raise ValueError("It holds a broken tokenizer (nested too deep).") from None
        except Exception as error:  # the library raises nothing more specific
            raise ValueError(f"It holds a broken tokenizer ({error!s:.200}).") from error
        for part in ("model", "normalizer", "pre_tokenizer", "decoder", "added_tokens", *_NONE):
            if said.get(part) != again.get(part):
                raise ValueError(f"It holds a broken tokenizer, or one that is not BERT's: {part} is another.")
        return made

    def to_json(self) -> str:
        """The whole tokenizer as one JSON text (the format of Hugging Face's `tokenizer.json`)."""
        return self.tokenizer.to_str()

    def __len__(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    def ids(self, text: str) -> list[int]:
        """Token ids without frame. The word "[MASK]" in a text becomes the mask token."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, ids: Sequence[int]) -> str:
        """Words of token ids, special tokens left out, with the spaces that WordPiece puts around punctuation
        removed."""
        return tidy(str(self.tokenizer.decode(list(ids), skip_special_tokens=True)))

    def frame(self, ids: Sequence[int], max_length: int, grounded: bool = False) -> list[int]:
        """Put [CLS] ([ENC] where the text is read with an image) before and [SEP] behind, cut to `max_length`."""
        return [self.enc if grounded else self.cls, *ids[: max_length - 2], self.sep]


class SpecialTokens(TextTokenizer):
    """The tokenizer of a model that reads token ids: it knows how many there are and which are special, and no words.

    Args:
        size: of the vocabulary.
        ids: name ("pad", "cls", ...) -> id of each special token.
    """

    def __init__(self, size: int, ids: Mapping[str, int]) -> None:
        self.size = size
        self.pad, self.unk, self.cls, self.sep = ids["pad"], ids["unk"], ids["cls"], ids["sep"]
        self.mask, self.dec, self.enc = ids["mask"], ids["dec"], ids["enc"]

    def __len__(self) -> int:
        return self.size

    def to_json(self) -> str:
        raise ValueError("This model reads token ids and has no words: its tokenizer stands beside it.")

    def ids(self, text: str) -> list[int]:
        if text:
            raise ValueError("This model reads token ids and has no words: its tokenizer makes ids of them.")
        return []

    def text(self, ids: Sequence[int]) -> str:
        raise ValueError("This model writes token ids and has no words: its tokenizer makes words of them.")


def framed_tokenizer(tokenizer: TextTokenizer, longest: int | None = None) -> Tokenizer:
    """The tokenizer of Hugging Face's library: [CLS] before, [SEP] behind, padded, and cut to `longest` where it is
    given."""
    framed = Tokenizer.from_str(tokenizer.to_json())
    framed.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", tokenizer.cls), ("[SEP]", tokenizer.sep)]
    )
    if longest is not None:
        framed.enable_truncation(longest)
    framed.enable_padding(pad_id=tokenizer.pad, pad_token="[PAD]")
    return framed


def tidy(text: str) -> str:
    """ "10 % of the built - up area ( centre )" -> "10% of the built-up area (centre)"."""
    text = re.sub(r"\s+([.,;:!?%)])", r"\1", text)
    text = re.sub(r"(\w) ?([-/]) ?(\w)", r"\1\2\3", text)
    return re.sub(r"\(\s+", "(", text).replace(" ' ", "'").strip()


def pad(sequences: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Right-pad token ids with 0.

    Returns:
        Ids (B, T) int64 and the mask of real tokens (B, T) bool, T the longest sequence.
    """
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    keep = torch.zeros(len(sequences), longest, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.as_tensor(sequence, dtype=torch.long)
        keep[row, : len(sequence)] = True
    return ids.to(device), keep.to(device)


def around_hole(context: list[int], place: int, longest: int) -> tuple[list[int], int]:
    """A text that is too long keeps the part around its hole; that part, and the hole's place in it."""
    if len(context) <= longest or place < longest:
        return context[:longest], place
    start = min(max(0, place - longest // 2), len(context) - longest)
    return context[start : start + longest], place - start
