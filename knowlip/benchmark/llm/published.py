"""What others have published for general language models on such questions; none of it is measured here."""

from collections.abc import Mapping
from typing import Final

SOURCE: Final = "arXiv 2509.23927, Table 7"
PUBLISHED: Final[Mapping[str, tuple[float, ...]]] = {
    "GPT-4o": (33, 66, 28, 53, 47, 44),
    "Gemini-2.5": (12, 38, 43, 56, 73, 38),
    "Grok-3": (19, 27, 54, 33, 65, 48),
    "Qwen2.5-VL": (36, 47, 29, 51, 33, 39),
    "SAR-KnowLIP (ViT-B)": (98.70, 96.43, 97.89, 99.45, 89.07, 93.58),
}
"""Model -> accuracy in percent in the order of `QUESTION_TYPES`, on the paper's own 161 to 1,596 questions: other
images, other wordings, another list of answers."""
