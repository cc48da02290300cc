"""The texts of the ablation's arms: copies of the data set, and one vocabulary for all of them.

OUT/datasets/TEXTS       texts as the annotator said them, as templates say them, or with known errors
OUT/datasets/TEXTS+LOOP  the same with a revision in which truth has decided
OUT/vocab.txt            a vocabulary that covers all of these, so that all arms begin with the same weights
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from knowlip.base.documents import read_json
from knowlip.base.files import whole_file, write_json
from knowlip.base.progress import say
from knowlip.base.vocabulary import Decision
from knowlip.benchmark.ablation_arms import ANNOTATOR, TEMPLATES, Arm, level
from knowlip.benchmark.copies import copy_dataset, dataset_with, told, with_revision_0
from knowlip.benchmark.corrupt import Change, KnownTexts, changed, right_texts, wrong_texts
from knowlip.dataset import Dataset
from knowlip.language.questions import sentences as question_sentences
from knowlip.models.special import EXTRA
from knowlip.models.tokenizer import TextTokenizer
from knowlip.tasks.screening import score_texts

_ORACLE: Final = "oracle"
"""Annotator and run of what truth has decided."""
_RIGHT: Final = level(0.0)


class ArmTexts:
    """Makes the data sets of arms, each once.

    Args:
        source: the annotated data set; it is only read.
        out: folder of the ablation.
        wrong: shares of wrong sub-texts, 0 first.
        generator: of wrong sub-texts, see :data:`knowlip.benchmark.corrupt.GENERATORS`.
        seed: of all choices.
        split: whose texts get known errors; all others stay as they are.
    """

    def __init__(
        self, source: Path, out: Path, wrong: Sequence[float], generator: str, seed: int, split: str = "train"
    ) -> None:
        self.source, self.folder, self.wrong = source, out / "datasets", wrong
        self.generator, self.seed = generator, seed
        data = Dataset(source)
        self.truths = data.truth()
        tiles = data.tiles()
        self.windows: Mapping[str, float] = dict(zip(tiles["tile_id"], tiles["window_m"].astype(float)))
        self.roots: Mapping[str, str] = dict(zip(tiles["tile_id"], tiles["root_id"].astype(str)))
        self.chosen = set(tiles["tile_id"][tiles["split"] == split])

    def of(self, arm: Arm) -> Path:
        """Folder of the texts that an arm begins with; of an oracle those that it goes on with."""
        return self.folder / (arm.name if arm.oracle else arm.texts)

    def make(self, arm: Arm) -> None:
        """Make them, as far as that was not done before, and say how many are true."""
        path = self.of(arm)
        figures = path.with_name(f"{path.name}.json")
        if figures.is_file():
            return
        say(f"texts: {arm.what}")
        if arm.oracle:
            self.make(Arm(arm.texts))
            copy_dataset(self.of(Arm(arm.texts)), path, then=lambda copy: self._decide(copy, arm.loop))
        elif arm.texts in (ANNOTATOR, TEMPLATES):
            dataset_with(self.source, arm.texts, path)
        elif arm.texts == _RIGHT:
            self.make(Arm(TEMPLATES))
            copy_dataset(self.source, path, then=self._put_right)
        else:
            self.make(Arm(_RIGHT))
            share = next(share for share in self.wrong if level(share) == arm.texts)
            copy_dataset(self.source, path, then=lambda copy: self._put_wrong(copy, share))
        write_json(figures, self.figures(Dataset(path), None)[0])

    def figures(self, data: Dataset, revision: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """How many training texts are true in revision 0 and in the one that ends with `revision`; and how SCIO's
        decisions on that way compare with truth."""
        found, texts = score_texts(data, revision, self.truths, self.windows, self.roots)
        kept = ("before", "after", "after_ci", "after_without_screened", "n_after", "rewritten", "falls", "reason")
        decided = ("precision", "recall", "auroc", "base_rate", "flag_rate", "n", "n_flagged", "reason")
        return (
            {name: texts[name] for name in kept if name in texts},
            {name: found[name] for name in decided if name in found},
        )

    # ---- right and wrong ----------------------------------------------------------------------------------------

    def known(self, data: Dataset) -> KnownTexts:
        """The chosen texts of revision 0, judged."""
        return KnownTexts(self._table(data), self.truths, self.windows, self.roots)

    def _table(self, data: Dataset) -> pd.DataFrame:
        texts = data.texts(0)
        return texts[texts["tile_id"].isin(self.chosen)].sort_values(["tile_id", "slot"], ignore_index=True)

    @cached_property
    def _right(self) -> KnownTexts:
        return self.known(Dataset(self.folder / _RIGHT))

    @cached_property
    def _changes(self) -> Mapping[float, list[Change]]:
        """Share -> what is made wrong for it; all at once, so that a larger share holds the smaller ones."""
        return wrong_texts(self._right, [share for share in self.wrong if share], self.generator, self.seed)

    def _right_changes(self, known: KnownTexts) -> tuple[list[Change], int]:
        templates = self._table(Dataset(self.folder / TEMPLATES))
        return right_texts(known, templates, np.random.default_rng([self.seed, 3]))

    def _put_right(self, copy: Dataset) -> None:
        known = self.known(copy)
        changes, left = self._right_changes(known)
        self._write(copy, known.texts, changes, {"left_wrong": left}, annotator=_ORACLE)

    def _put_wrong(self, copy: Dataset, share: float) -> None:
        changes = self._changes[share]
        right = int((self._right.true == True).sum())  # noqa: E712 (objects, None among them)
        self._write(copy, self._right.texts, changes, {"share_of_right": len(changes) / max(1, right)})

    def _write(
        self,
        copy: Dataset,
        texts: pd.DataFrame,
        changes: Sequence[Change],
        facts: Mapping[str, Any],
        annotator: str = "",
    ) -> None:
        """The chosen texts with changes, and those of all other tiles as they are, as revision 0."""
        new = changed(texts, changes)
        if annotator:
            new.loc[[one.at for one in changes], "annotator"] = annotator
        others = copy.texts(0)
        others = others[~others["tile_id"].isin(self.chosen)]
        made = {
            "generator": self.generator,
            "kinds": dict(Counter(one.kind for one in changes)),
            **facts,
            "changes": told(texts, changes),
        }
        with_revision_0(copy, pd.concat([new, others], ignore_index=True), made)

    def _decide(self, copy: Dataset, loop: str) -> None:
        """Append the revision of an oracle: it knows which training texts are wrong."""
        known = self.known(copy)
        wrong = known.true == False  # noqa: E712 (objects, None among them)
        rows = known.texts.assign(decision=Decision.KEPT, reason="truth")
        if loop == "oracle-screening":
            rows.loc[wrong, "decision"] = Decision.SCREENED
        else:
            changes, left = self._right_changes(known)
            at = [one.at for one in changes]
            rows = changed(rows, changes)
            rows.loc[at, "decision"], rows.loc[at, "annotator"] = Decision.REWRITTEN, _ORACLE
            if left:  # nobody has right words: they are at least no targets
                rows.loc[wrong & (rows["decision"] == Decision.KEPT).to_numpy(), "decision"] = Decision.SCREENED
        copy.append_revision(rows, _ORACLE)

    # ---- words ----------------------------------------------------------------------------------------------------

    def vocabulary(self, path: Path, size: int) -> Path:
        """A WordPiece vocabulary (`vocab.txt`) of the annotator's texts, the templates and the questions, made once."""
        if not path.is_file():
            self.make(Arm(TEMPLATES))
            tables = (self._table(Dataset(folder)) for folder in (self.source, self.folder / TEMPLATES))
            lines = [line for table in tables for line in (table["dimension"] + ": " + table["text"]).to_list()]
            asked = question_sentences()
            tokenizer = TextTokenizer.train([*lines, *asked, *asked], size)  # twice: what is rare is dropped
            ids = tokenizer.tokenizer.get_vocab()
            with whole_file(path) as part:
                part.write_text("".join(f"{word}\n" for word in sorted(ids, key=lambda w: ids[w]) if word not in EXTRA))
        return path


def figures_of(path: Path) -> dict[str, Any]:
    """What :meth:`ArmTexts.make` has said of the texts in a folder."""
    found: dict[str, Any] = read_json(path.with_name(f"{path.name}.json"))
    return found
