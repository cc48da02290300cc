"""Questions about the tiles of a data set: from truth where it has it, else from the annotator's claims."""

from collections.abc import Sequence

from knowlip.dataset import Dataset
from knowlip.language.questions import Question, questions_from_facts
from knowlip.language.tile_facts import Facts, facts_from_truth, facts_of_texts


def facts_about(data: Dataset, tile_ids: Sequence[str]) -> tuple[dict[str, Facts], str]:
    """Tile -> what is known of given tiles, and where from: "truth" where the data set has it, else "annotator"."""
    truths = data.truth()
    if truths:
        return {tile_id: facts_from_truth(truths[tile_id]) for tile_id in tile_ids if tile_id in truths}, "truth"
    texts = data.texts(0)
    return facts_of_texts(texts[texts["tile_id"].isin(set(tile_ids))]), "annotator"


def questions_about(data: Dataset, tile_ids: Sequence[str], seed: int = 0) -> list[Question]:
    """Questions about given tiles: from truth where the data set has it, else from the annotator's claims."""
    facts, source = facts_about(data, tile_ids)
    return questions_from_facts(facts, seed, source)


def questions_of(data: Dataset, split: str, seed: int = 0) -> list[Question]:
    """Questions about all tiles of a split, as :func:`questions_about`."""
    return questions_about(data, list(data.tiles(split)["tile_id"]), seed)
