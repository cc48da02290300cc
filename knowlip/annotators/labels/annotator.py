"""The `labels` annotator: what labels say, in template sentences (as RemoteCLIP and SARLANG-1M make theirs)."""

from knowlip.annotators.labels.facts import LabelSource
from knowlip.annotators.labels.target_texts import target_texts
from knowlip.annotators.labels.terrain_texts import terrain_texts
from knowlip.annotators.types import Annotation, SubText, TileRequest
from knowlip.dataset import Dataset
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.phrases import UNKNOWN


class LabelsAnnotator:
    """Writes texts from truth, boxes, outlines and masks of a data set; needs neither image nor place.

    Raises:
        ValueError: the data set has no labels.
    """

    name = "labels"

    def __init__(self, dataset: Dataset):
        self._source = LabelSource(dataset)

    def annotate(self, request: TileRequest) -> Annotation:
        """Write the eight sub-texts of one tile.

        Raises:
            ValueError: the tile is not in the data set.
        """
        return self.annotate_tile(request.tile_id)

    def annotate_tile(self, tile_id: str) -> Annotation:
        """The same, by name."""
        facts = self._source.facts(tile_id)
        kind = facts.instruction_set
        texts = target_texts(facts) if kind.of_targets else terrain_texts(facts)
        sub_texts = []
        for name in DIMENSIONS[kind]:
            known = texts[name] != UNKNOWN
            sub_texts.append(SubText(name, texts[name], float(known), "visual" if known else "prior"))
        return Annotation(tile_id, kind, tuple(sub_texts), facts.counts, facts.boxes)
