"""Questions about the tiles of a data set: from truth where it has it, else from the annotator's claims."""

from collections.abc import Sequence

from knowlip.dataset import Dataset
from knowlip.language.questions import Question, make_questions, questions_from_texts


def questions_about(data: Dataset, tile_ids: Sequence[str], seed: int = 0) -> list[Question]:
    """Questions about given tiles: from truth where the data set has it, else from the annotator's claims."""
    truths = data.truth()
    if truths:
        return make_questions({tile_id: truths[tile_id] for tile_id in tile_ids if tile_id in truths}, seed)
    texts = data.texts(0)
    return questions_from_texts(texts[texts["tile_id"].isin(set(tile_ids))], seed)


def questions_of(data: Dataset, split: str, seed: int = 0) -> list[Question]:
    """Questions about all tiles of a split, as :func:`questions_about`."""
    return questions_about(data, list(data.tiles(split)["tile_id"]), seed)
