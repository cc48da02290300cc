"""The special tokens of every tokenizer here."""

from typing import Final

SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
EXTRA: Final = ("[DEC]", "[ENC]")
"""Added behind the vocabulary as in BLIP: 30522 starts a decoded text, 30523 heads an image-grounded one."""
