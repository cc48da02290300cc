"""Fine-tuning on captions, measured on tiles that were kept aside: `knowlip bench run --task caption`.

`predictions.parquet`, one row a tile: `tile_id`, `group` (of copies), `said`, `references`, `perfect` (the first of
these as the model's vocabulary spells it), `other` (what is said of the image of another tile, null where there is
none), for each text that is the same for every image `floor:NAME`, and for each of these texts `true:COLUMN`
(:mod:`~knowlip.tasks.caption_truth`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch

from knowlip.base.generation import GenerationConfig
from knowlip.base.progress import track
from knowlip.base.rows import OTHER_IMAGE, Json, Row, highest_floor
from knowlip.dataset.others import others_of
from knowlip.models import TextTokenizer
from knowlip.models.encoders.knowlip import KnowLIPEncoder
from knowlip.tasks.caption_truth import judged, truth_rows
from knowlip.tasks.described import Describing
from knowlip.tasks.images import EncodedImages
from knowlip.tasks.metrics import fixed_texts
from knowlip.tasks.metrics.captions import CaptionScore, CaptionScorer, one_spelling
from knowlip.tasks.paired import LanguageConfig
from knowlip.tasks.runs import FLOOR, BenchTask, notes_of, read_predictions, write_predictions
from knowlip.training.loop import train

_BATCH: Final = 32
_TYPICAL: Final = 1500
"""Training captions among which the most typical one is sought."""


@dataclass(kw_only=True)
class CaptioningConfig(LanguageConfig):
    """Everything that decides the result of fine-tuning on captions."""

    generation: GenerationConfig = field(default_factory=lambda: GenerationConfig(max_new_tokens=96, beams=3))
    """How captions are written when they are measured."""


def describe(config: CaptioningConfig) -> dict[str, Any]:
    """Train, measure on what was kept aside, and write `out/model`, `out/metrics.json` and `out/predictions.parquet`.

    Raises:
        ValueError: too few captions, a model that cannot write or saw the tiles to be measured.
        ChildProcessError: one of several processes was killed or failed.
    """
    return train(Captioning, config, unused=True)


class Captioning(Describing):
    """The caption is written from the image, and is its text."""

    name = "caption"
    config: CaptioningConfig

    def measure(self, encoder: KnowLIPEncoder) -> tuple[tuple[Row, ...], dict[str, Json]]:
        """Write captions of the tiles that were kept aside."""
        # What is the same for all images comes from the training captions alone.
        config, test = self.config, list(self.division.test)
        images, said = EncodedImages(encoder, self.dataset, test), []
        with torch.inference_mode():
            for start in track(range(0, len(test), _BATCH), "write captions"):
                rows = list(range(start, min(start + _BATCH, len(test))))
                said += encoder.model.generate(images.tokens(rows), [""] * len(rows), config.generation)
        index = self.dataset.tiles().set_index("tile_id", drop=False).loc[test]
        other = others_of(index, [""] * len(test), config.split_seed).position_T
        known = [text for texts in self.captions for text in texts]
        drawn = np.random.default_rng(config.split_seed).permutation(len(known))[:_TYPICAL]
        fixed = fixed_texts(known, [known[at] for at in drawn])
        references, tokenizer = self.references(), encoder.model.tokenizer
        longest = min(config.generation.max_new_tokens, encoder.model.config.text.max_length - 1)
        table = pd.DataFrame(
            {
                "tile_id": test,
                "group": self.division.clusters(test),
                "said": said,
                "references": references,
                "perfect": as_spelled(tokenizer, [texts[0] for texts in references], longest),
                "other": [said[at] if at >= 0 else None for at in other],
            }
            | {f"{FLOOR}{name}": [text] * len(test) for name, text in fixed.items()}
        )
        table = judged(self.dataset, table)
        write_predictions(table, config.out)
        data = config.dataset.resolve().name
        rows_ = caption_rows(table, data, config.split_name, config.encoder, self.note, self.division.note)
        details: dict[str, Json] = {"distinct_captions_written": len({*said}), "train_captions": len(known)}
        return rows_, details


def caption_rows(
    table: pd.DataFrame, data: str, split: str, encoder: str, note: str = "", floor_note: str = ""
) -> tuple[Row, ...]:
    """Scores of the written captions against all captions of each tile, of one text for all, and of what is said of
    another tile's image; and the shares of their statements that are true.

    Args:
        table: predictions of one or more folds.
        data, split, encoder: as rows name them.
        note: what a reader must know besides.
        floor_note: the same of the floors.
    """
    # The tokenizer knows no capitals and no spaces around marks: both sides lose theirs.
    references = [[one_spelling(text) for text in texts] for texts in table["references"]]
    clusters = table["group"].astype(str).to_list()
    texts = {encoder: [one_spelling(text) for text in table["said"]]}
    texts |= {name: [one_spelling(text) for text in table[name]] for name in table.columns if name.startswith(FLOOR)}
    perfect = _perfect(table, references)
    scorer = CaptionScorer(references, clusters, [text for column in (*texts.values(), perfect) for text in column])
    scores = {who: scorer.scores(column) for who, column in texts.items()}
    best = scorer.scores(perfect) if perfect else {}
    lent = table["other"].notna().to_numpy()
    if lent.any():
        some = np.flatnonzero(lent)
        of_lent = CaptionScorer([references[at] for at in some], [clusters[at] for at in some])
        scores[f"{OTHER_IMAGE}{encoder}"] = of_lent.scores([one_spelling(table["other"].iloc[at]) for at in some])
    rows = []
    for metric in scores[encoder]:
        found = {who.removeprefix(FLOOR): one[metric].value for who, one in scores.items() if who.startswith(FLOOR)}
        floor, name = highest_floor(found)
        for who, one in scores.items():
            figure, reason = one[metric].figure, one[metric].reason
            own = floor_note if who.startswith(FLOOR) else note
            limit = best_note(best.get(metric)) if who == encoder else ""
            said = " ".join(text for text in (own, reason, figure.note if figure else "", limit) if text)
            value, ci, n = (figure.value, figure.ci, figure.n) if figure else (None, None, 0)
            rows.append(Row(data, split, "caption", who, metric, value, ci, n, floor, name, said, "number"))
    scored = sorted(rows, key=lambda row: list(scores).index(row.encoder))
    return (*scored, *truth_rows(table, data, split, encoder, note, floor_note))


def as_spelled(tokenizer: TextTokenizer, texts: Sequence[str], longest: int | None = None) -> list[str]:
    """Texts as a model with this tokenizer would write them that knows them, of at most so many tokens."""
    return [tokenizer.text(tokenizer.ids(text)[:longest]) for text in texts]


def best_note(score: CaptionScore | None) -> str:
    """What is said of the score of texts as the model's vocabulary spells them; "" where there is none."""
    if score is None or score.value is None:
        return ""
    return f"A perfect writer of the model's vocabulary would reach {score.value:.3f}."


def _perfect(table: pd.DataFrame, references: Sequence[Sequence[str]]) -> list[str]:
    """What a model of this vocabulary would write that knows the first caption of each tile; nothing where that is the
    caption itself everywhere."""
    if "perfect" not in table or table["perfect"].isna().any():
        return []
    perfect = [one_spelling(text) for text in table["perfect"]]
    return [] if all(text in texts for text, texts in zip(perfect, references)) else perfect


def rows_of_captions(folders: Sequence[Path], data: str, split: str, encoder: str) -> tuple[Row, ...]:
    """Figures over finished run folders, the folds of one seed: every tile counts once."""
    note, floor_note = notes_of(folders, "caption", encoder)
    table = read_predictions(folders, ["tile_id"])
    return caption_rows(table, data, split, encoder, note, floor_note)


CAPTIONING: Final = BenchTask(config=CaptioningConfig, run=describe, rows=rows_of_captions)
