"""WordPiece tokenizer with the special tokens of BERT and BLIP: BERT's own vocabulary, or a small one trained on the
texts."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
EXTRA = ("[DEC]", "[ENC]")
"""Added behind the vocabulary as in BLIP: 30522 starts a decoded text, 30523 heads an image-grounded one."""


def _bert(model: models.WordPiece) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=True)
    return tokenizer


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
        """BERT's tokenizer from its `vocab.txt` (one token a line)."""
        if not vocab_txt.is_file():
            raise ValueError(f"{vocab_txt} does not exist: give the vocab.txt of an uncased BERT.")
        vocabulary = models.WordPiece.read_file(str(vocab_txt))
        return cls(_bert(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100)))

    @classmethod
    def from_json(cls, text: str) -> "TextTokenizer":
        """The tokenizer that :meth:`to_json` wrote."""
        return cls(Tokenizer.from_str(text))

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
