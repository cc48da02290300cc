"""Which statements of a caption are true, by the labels of its image: how many there are of what, of which type and
where, which covers there are and where they lie (:mod:`knowlip.language.truth` has the rules and tolerances).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, cast

import pandas as pd

from knowlip.annotators.labels.captions import unsaid
from knowlip.annotators.labels.facts import LabelFacts, LabelSource
from knowlip.base.rows import OTHER_IMAGE, Row, highest_floor
from knowlip.base.vocabulary import TARGET_CATEGORIES
from knowlip.dataset import Dataset
from knowlip.language.categories import category_of
from knowlip.language.claims import UNMEASURED, parse_claims
from knowlip.language.definitions import PRESENT, TileTruth, TrueObject
from knowlip.language.dimensions import InstructionSet
from knowlip.language.truth import judge
from knowlip.tasks.metrics.intervals import Estimate, proportion
from knowlip.tasks.runs import FLOOR

TRUE: Final = "true:"
"""Column of predictions: of each statement of a text that can be verified, whether it is true; then the text's own."""
METRIC: Final = "true claims"
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|\n+|(?<=[a-z)]) \. ")
_TERRAIN: Final = ("Distribution", "Terrain")
_TARGETS: Final = ("Category", "Count", "Location")
"""In the order in which a sentence is read as one of them: "an airliner and a turboprop" names types, not a number."""


class CaptionTruth:
    """Judges captions of the tiles of a data set.

    Args:
        data: with truth, boxes or masks; where it has none of them, nothing can be verified.
    """

    def __init__(self, data: Dataset) -> None:
        self._truths, rows = data.truth(), data.annotations()
        known = self._truths or len(rows) or data.masks.places
        self._source = LabelSource(data) if known else None
        labelled = {category_of(str(name)) for name in rows["category"].unique()}
        named = labelled if not self._truths else {*TARGET_CATEGORIES}
        # Sentences on other categories would be read as ones on ships: nothing is said of targets then.
        self.targets = tuple(sorted(named)) if named <= {*TARGET_CATEGORIES} else ()
        self._usual = InstructionSet.GROUND if self.targets == ("aircraft",) else InstructionSet.MARINE

    def verdicts(self, tile_id: str, caption: str) -> list[bool]:
        """Whether each statement of a caption that can be verified is true.

        Args:
            tile_id: of the image.
            caption: in words.
        """
        if self._source is None:
            return []
        facts = self._source.facts(tile_id)
        truth, found = self._truths.get(tile_id) or truth_of(facts), list[bool]()
        # What captions pass over because the labels leave it open is not held against one that speaks of it.
        land = truth["shares"] and facts.open_share <= PRESENT
        kinds = [(InstructionSet.TERRAIN, name) for name in _TERRAIN] if land else []
        open_ = unsaid(replace(facts, shares={}))
        if self.targets and not open_ and (facts.labelled or tile_id in self._truths):
            kinds += [(self._usual, name) for name in _TARGETS]
        for sentence in _SENTENCE.split(caption):
            for instruction_set, dimension in kinds:
                if {*parse_claims(instruction_set, dimension, sentence)} - {*UNMEASURED}:
                    said = judge(instruction_set, dimension, sentence, truth, 0.0)
                    found += [] if said is None else [said]
                    break
        return found


def truth_of(facts: LabelFacts) -> TileTruth:
    """Labels as truth, as far as captions speak of it: objects by category, type and place, covers by share."""
    objects = [
        cast(TrueObject, {"category": one.category, "type": one.type, "x": one.x, "y": one.y}) for one in facts.targets
    ]
    shares = {"objects": objects, "shares": dict(facts.shares), "grid": [dict(cell) for cell in facts.grid]}
    return cast(TileTruth, {**shares, "buildings": facts.buildings or 0, "bridges": 0, "tanks": 0})


def judged(data: Dataset, table: pd.DataFrame) -> pd.DataFrame:
    """Predictions of :mod:`knowlip.tasks.captioning` with a column `true:COLUMN` for the written texts, those of other
    images, the floors, and the first of the captions that were kept aside.

    Args:
        data: the data set.
        table: its columns tile_id, said, other, references and `floor:NAME`.
    """
    truth, found = CaptionTruth(data), {}
    texts = {
        name: table[name].tolist() for name in map(str, table) if name in ("said", "other") or name.startswith(FLOOR)
    }
    texts["references"] = [known[0] for known in table["references"]]
    for name, said in texts.items():
        found[f"{TRUE}{name}"] = [
            truth.verdicts(tile_id, text) if isinstance(text, str) else []
            for tile_id, text in zip(table["tile_id"], said, strict=True)
        ]
    return table.assign(**{name: pd.Series(said, table.index) for name, said in found.items()})


def truth_rows(table: pd.DataFrame, data: str, split: str, encoder: str, note: str, floor_note: str) -> list[Row]:
    """Shares of true statements: of the model, of what it said of another tile's image, of the texts that are the same
    for all images, and of the data set's own captions; nothing where predictions do not say.

    Args:
        table: predictions of one or more folds.
        data, split, encoder: as rows name them.
        note: what a reader must know besides.
        floor_note: the same of the floors.
    """
    # The twin is a floor of the model: what is as true of another image was not seen in this one.
    if f"{TRUE}said" not in table:
        return []
    named = {"said": encoder, "other": f"{OTHER_IMAGE}{encoder}", "references": "the data set's own captions"}
    columns = [name.removeprefix(TRUE) for name in map(str, table) if name.startswith(TRUE)]
    shares = {name: _share(table[f"{TRUE}{name}"].tolist(), table["group"].astype(str).tolist()) for name in columns}
    fixed = {name.removeprefix(FLOOR): _value(share) for name, share in shares.items() if name.startswith(FLOOR)}
    rows = []
    for name in sorted(columns, key=lambda one: (one != "said", one)):
        floor, named_floor = highest_floor(
            fixed | ({"other image": _value(shares.get("other"))} if name == "said" else {})
        )
        share, own = shares[name], floor_note if name.startswith(FLOOR) else note
        reason = "" if share else "No statement of these texts can be verified by the labels."
        said = " ".join(one for one in (own, share.note if share else reason) if one)
        value, ci, n = (share.value, share.ci, share.n) if share else (None, None, 0)
        rows.append(Row(data, split, "caption", named.get(name, name), METRIC, value, ci, n, floor, named_floor, said))
    return rows


def _share(verdicts: Sequence[Sequence[bool]], clusters: Sequence[str]) -> Estimate | None:
    known = [(bool(one), cluster) for row, cluster in zip(verdicts, clusters, strict=True) for one in row]
    return proportion([one for one, _ in known], [cluster for _, cluster in known]) if known else None


def _value(share: Estimate | None) -> float | None:
    return share.value if share else None
