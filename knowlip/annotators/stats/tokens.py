"""Token counts with a WordPiece vocabulary or any tokenizer file, without the model that it belongs to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FRAME = 2
"""[CLS] and [SEP] around a text."""


class Tokens:
    """Counts tokens. Texts are in lower case and split at punctuation where the file is a `vocab.txt` (uncased BERT).

    Raises:
        ValueError: the file is no vocabulary and no tokenizer.
    """

    def __init__(self, path: Path):
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

        if not path.is_file():
            raise ValueError(f"{path} does not exist: give a vocab.txt of BERT or a tokenizer.json.")
        try:
            if path.suffix == ".txt":
                vocabulary = models.WordPiece.read_file(str(path))
                model = models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100)
                self._tokenizer: Any = Tokenizer(model)
                self._tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
                self._tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            else:
                self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain exceptions
            raise ValueError(f"{path} is no vocab.txt and no tokenizer.json ({error}).") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.vocabulary = int(self._tokenizer.get_vocab_size())

    def counts(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """(N,) tokens of each text, without frame."""
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return np.array([len(item.ids) for item in encoded], np.int64)
