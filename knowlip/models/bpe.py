"""CLIP's byte-pair encoding, from the files that the user has; nothing is downloaded.

Three forms hold the same: `bpe_simple_vocab_16e6.txt.gz` (OpenAI, open_clip), `vocab.json` with `merges.txt`, and
`tokenizer.json` (Hugging Face).
"""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from knowlip.base.documents import read_json
from knowlip.base.files import regular_file

FILES = ("bpe_simple_vocab_16e6.txt.gz", "tokenizer.json", "vocab.json")
START, END = "<|startoftext|>", "<|endoftext|>"
_MERGES = 49152 - 256 - 2
_MOST = 64 << 20
"""Bytes of an unpacked vocabulary."""
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass
class BpeTokenizer:
    """Texts -> tokens with start and end, as many as the model has places for."""

    tokenizer: Tokenizer
    start: int
    end: int
    cut: int = 0
    """Texts so far that were longer than the model reads."""

    def __call__(self, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
        """Tokens (B, length), padded with 0, and the place of each text's end (B,). A longer text loses its tail."""
        tokens = torch.zeros(len(texts), length, dtype=torch.long)
        ends = torch.zeros(len(texts), dtype=torch.long)
        for row, encoded in enumerate(self.tokenizer.encode_batch(list(texts), add_special_tokens=False)):
            ids = [one for one in encoded.ids if one not in (self.start, self.end)]
            self.cut += len(ids) > length - 2
            ids = [self.start, *ids[: length - 2], self.end]
            tokens[row, : len(ids)] = torch.tensor(ids)
            ends[row] = len(ids) - 1
        return tokens, ends


def find_bpe(path: Path) -> Path | None:
    """The vocabulary beside a file of weights (or in its folder); None where there is none."""
    folder = path if path.is_dir() else path.parent
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def read_bpe(path: Path, words: int) -> BpeTokenizer:
    """Read a vocabulary.

    Args:
        path: one of the three forms.
        words: rows of the model's table of embeddings.

    Raises:
        ValueError: it is none of them, broken, or has another number of words than the model.
    """
    if path.name == "tokenizer.json":
        tokenizer = _from_json(path)
    else:
        vocabulary, merges = _from_gzip(path) if path.suffix == ".gz" else _from_pair(path)
        tokenizer = build_bpe(vocabulary, merges)
    start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
    if start is None or end is None:
        raise ValueError(f"{path} is no vocabulary of CLIP: it lacks {START} or {END}.")
    if tokenizer.get_vocab_size() != words:
        raise ValueError(f"{path} has {tokenizer.get_vocab_size()} words, the model {words}: give its own vocabulary.")
    return BpeTokenizer(tokenizer, start, end)


def build_bpe(vocabulary: dict[str, int], merges: Sequence[tuple[str, str]]) -> Tokenizer:
    """CLIP's tokenizer: lower case, words apart, bytes, merges."""
    try:
        model = models.BPE(vocabulary, list(merges), end_of_word_suffix="</w>", unk_token=END)
    except Exception as error:  # of the Rust library, without a class of its own
        raise ValueError(f"The vocabulary and its merges do not fit ({error!s:.120}).") from None
    tokenizer = Tokenizer(model)
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
    split = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return tokenizer


def _from_gzip(path: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """OpenAI's file: merges alone, from which the words follow; only the first 48,894 were used."""
    try:
        with gzip.open(regular_file(path)) as file:
            lines = file.read(_MOST + 1)
        text = lines.decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no vocabulary packed by gzip ({error}).") from None
    if len(lines) > _MOST:
        raise ValueError(f"{path} unpacks to more than {_MOST >> 20} MB.")
    merges = _merges(path, text.split("\n")[1 : _MERGES + 1])
    letters = list(_bytes().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges), START, END]
    return {word: place for place, word in enumerate(words)}, merges


def _from_pair(path: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    beside = path.with_name("merges.txt")
    if not beside.is_file():
        raise ValueError(f"{path} needs merges.txt beside it.")
    vocabulary = read_json(path)
    if not isinstance(vocabulary, dict) or not all(isinstance(place, int) for place in vocabulary.values()):
        raise ValueError(f"{path} must map words to numbers.")
    if regular_file(beside).stat().st_size > _MOST:
        raise ValueError(f"{beside} has more than {_MOST >> 20} MB.")
    lines = [line for line in beside.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]
    return vocabulary, _merges(beside, [line for line in lines if not line.startswith("#version")])


def _from_json(path: Path) -> Tokenizer:
    """Hugging Face's file, if it holds CLIP's kind: the model learned no other."""
    content: Any = read_json(path)
    kind = content.get("model", {}).get("end_of_word_suffix") if isinstance(content, dict) else None
    if kind != "</w>":
        raise ValueError(f"{path} is no byte-pair encoding of CLIP's kind (words end in </w>).")
    try:
        return Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # of the Rust library, without a class of its own
        raise ValueError(f"{path} cannot be read by tokenizers ({error!s:.120}).") from None


def _merges(path: Path, lines: Sequence[str]) -> list[tuple[str, str]]:
    pairs = [tuple(line.split()) for line in lines if line.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{path} must have two parts of a word in every line.")
    return [(pair[0], pair[1]) for pair in pairs]


def _bytes() -> dict[int, str]:
    """A printable letter for every byte, in the order of OpenAI's vocabulary."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [one for one in range(256) if one not in plain]
    return {one: chr(one) for one in plain} | {one: chr(256 + place) for place, one in enumerate(others)}
