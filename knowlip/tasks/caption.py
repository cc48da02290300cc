"""Captioning: the model writes the text of an image; compared with the annotator's text and with truth.

It writes twice. *Freely*: the whole text from one hole; which instruction set it chose is read from its labels.
*Asked*: each dimension of the tile's own set, all others hidden, so that target tiles are judged as target texts
whatever the model would have talked about. What is true is counted by set and dimension, beside what the same model
says of the image of another tile, and the annotator.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import torch

from knowlip.base.examples import ShownExample, ShownItem
from knowlip.base.progress import track
from knowlip.base.rows import OTHER_IMAGE, Json, Row
from knowlip.dataset.others import others_of
from knowlip.language.captions import compose_texts, split_caption
from knowlip.language.definitions import TileTruth
from knowlip.language.dimensions import DIMENSIONS, SLOTS
from knowlip.language.truth import judge
from knowlip.models.encoders import Encoder, WritingEncoder
from knowlip.models.encoders.knowlip import KnowLIPEncoder
from knowlip.tasks.bench import Bench, Measured, balanced
from knowlip.tasks.captioning import CAPTIONING, as_spelled, best_note
from knowlip.tasks.images import EncodedImages
from knowlip.tasks.metrics import CaptionScorer, Estimate, fixed_texts, proportion
from knowlip.tasks.metrics.captions import one_spelling

Judge = Callable[[str, str, str, TileTruth, float], bool | None]
"""(instruction_set, dimension, text, truth, window_m) -> True, False, or None where nothing can be verified."""

_BATCH = 32
_BASELINE_TEXTS = 1500
"""Training texts among which the most typical one is sought."""
_SUB_TEXT_TOKENS: Final = 64
"""Longest sub-text that is written where a dimension is asked for."""


@dataclass(frozen=True)
class JudgedClaim:
    """A sub-text with its verdict."""

    dimension: str
    text: str
    true: bool | None
    """None where nothing can be verified."""
    instruction_set: str = ""
    """That it was judged under."""

    @property
    def group(self) -> str:
        """Instruction set and dimension."""
        return f"{self.instruction_set} {self.dimension}"


def judged_claims(
    text: str, instruction_set: str, truth: TileTruth | None, window_m: float, judge: Judge
) -> list[JudgedClaim]:
    """Each sub-text of a composed text with its verdict, under the set that its labels give away."""
    found, parts = split_caption(text, instruction_set)
    return judged_parts(parts, found, truth, window_m, judge)


def judged_parts(
    parts: Mapping[str, str], instruction_set: str, truth: TileTruth | None, window_m: float, judge: Judge
) -> list[JudgedClaim]:
    """Each sub-text (dimension -> text) of an instruction set with its verdict."""
    return [
        JudgedClaim(
            name,
            part,
            judge(instruction_set, name, part, truth, window_m) if truth is not None else None,
            str(instruction_set),
        )
        for name, part in parts.items()
    ]


def write_captions(
    model: WritingEncoder, images: EncodedImages, chosen: Sequence[int], max_new_tokens: int
) -> list[str]:
    """The whole text of the images at the positions `chosen`, from one hole that stands for all of it."""
    texts: list[str] = []
    with torch.inference_mode():
        for start in track(range(0, len(chosen), _BATCH), "write captions"):
            part = list(chosen[start : start + _BATCH])
            texts += model.generate(images.tokens(part), [""] * len(part), max_new_tokens)
    return texts


def write_dimensions(
    model: WritingEncoder, images: EncodedImages, chosen: Sequence[int], sets: Sequence[str]
) -> list[dict[str, str]]:
    """Dimension -> sub-text of the images at the positions `chosen`, each written with nothing but the labels of its
    instruction set and the image to read."""
    jobs = [(place, slot) for place in range(len(chosen)) for slot in range(SLOTS)]
    prompts = {name: " ".join(f"{one}: [MASK]" for one in DIMENSIONS[name]) for name in set(sets)}
    texts: list[dict[str, str]] = [{} for _ in chosen]
    with torch.inference_mode():
        for start in track(range(0, len(jobs), 2 * _BATCH), "write the dimensions of texts"):
            part = jobs[start : start + 2 * _BATCH]
            asked = [prompts[sets[place]] for place, _ in part]
            tokens = images.tokens([chosen[place] for place, _ in part])
            written = model.generate(tokens, asked, _SUB_TEXT_TOKENS, holes=[slot for _, slot in part])
            for (place, slot), text in zip(part, written):
                texts[place][DIMENSIONS[sets[place]][slot]] = text
    return texts


def measure(bench: Bench, encoder: Encoder) -> Measured:
    """The written texts against the annotator's (BLEU-4, CIDEr) and against truth (share of true claims)."""
    # Scores against the annotator's words say how alike texts are; only truth says whether a caption looked.
    count = min(bench.limits.captions, len(bench.tile_ids))
    if count == 0 or not isinstance(encoder, WritingEncoder):
        note = "It writes no captions." if count else "Captions were turned off."
        return Measured((bench.row("caption", encoder.name, "BLEU-4", None, note=note),))
    trial = _Trial.of(bench, count)
    images = bench.images(encoder)
    generated = write_captions(encoder, images, trial.places, bench.limits.max_new_tokens)
    whole = trial.free(generated)
    fixed = _fixed_texts(bench)
    floors = {name: _value(true_share(trial.free([text] * count), trial.clusters)) for name, text in fixed.items()}
    references = list(trial.references.values())
    note = "No claim can be verified against truth." if bench.truths else "The data set has no truth."
    twin, twin_name = trial.free(generated, of_others=True), OTHER_IMAGE + encoder.name
    said = {encoder.name: whole, twin_name: twin}
    if bench.truths:
        said[bench.annotator] = trial.free(references)
    with_twin = floors | {"other image": _value(true_share(twin, trial.clusters))}
    rows = []
    for name, claims in said.items():
        blind = with_twin if name == encoder.name else floors
        rows.append(_true_row(bench, name, "true claims", claims, trial.clusters, blind, note))
    if all(name in DIMENSIONS for name in trial.sets):
        more, asked = _asked(bench, encoder, images, trial)
    else:
        more, asked = [], {}
    own = [
        split_caption(text, mine)[0] == mine and bool(split_caption(text, mine)[1])
        for text, mine in zip(generated, trial.sets)
    ]
    most = Counter(trial.sets).most_common(1)[0][1] / count
    more.append(
        bench.row(
            "caption",
            encoder.name,
            "captions of the tile's own set",
            proportion(own, trial.clusters),
            {"one set": most},
        )
    )
    perfect = as_spelled(encoder.model.tokenizer, references) if isinstance(encoder, KnowLIPEncoder) else references
    more += _score_rows(bench, encoder.name, generated, references, trial.clusters, fixed, perfect)
    examples = tuple(
        ShownExample(
            "caption",
            "Texts of random images",
            ShownItem(tile_id=tile_id),
            tuple(ShownItem(one.text, right=one.true, note=one.dimension) for one in row) or (ShownItem(text),),
            (ShownItem(reference, note="the annotator"),),
        )
        for tile_id, text, reference, row in zip(trial.tile_ids, generated, references, whole)
    )
    details = _details(generated, references, whole) | asked
    return Measured((*rows, *more), examples[: bench.limits.examples], details)


@dataclass(frozen=True)
class _Trial:
    """The tiles that get texts, in random order, as many of each instruction set as there are."""

    bench: Bench
    tile_ids: list[str]
    places: list[int]
    """Of each among the tiles of the bench."""
    sets: list[str]
    clusters: list[str]
    references: dict[str, str]
    """tile_id -> the annotator's text."""
    other: np.ndarray
    """Position of the tile whose image stands in for each; -1 where there is none."""

    @classmethod
    def of(cls, bench: Bench, count: int) -> "_Trial":
        chosen = balanced([bench.sets[tile_id] for tile_id in bench.tile_ids], count, bench.seed)
        chosen = np.random.default_rng(bench.seed).permutation(chosen)
        tile_ids = [bench.tile_ids[i] for i in chosen]
        sets = [bench.sets[tile_id] for tile_id in tile_ids]
        whole = compose_texts(bench.texts[bench.texts["tile_id"].isin(set(tile_ids))])
        other = others_of(bench.tiles.iloc[chosen], sets, bench.seed).position_T
        clusters = [bench.clusters[tile_id] for tile_id in tile_ids]
        references = {tile_id: whole[tile_id] for tile_id in tile_ids}
        return cls(bench, tile_ids, [int(i) for i in chosen], sets, clusters, references, other)

    def _judging(self, of_others: bool) -> list[tuple[int, str, TileTruth | None, float]]:
        """For each tile the position of the text that is judged (-1: none), the tile's set, truth and side."""
        bench = self.bench
        return [
            (int(self.other[i]) if of_others else i, self.sets[i], bench.truths.get(one), bench.windows[one])
            for i, one in enumerate(self.tile_ids)
        ]

    def free(self, texts: Sequence[str], of_others: bool = False) -> list[list[JudgedClaim]]:
        """Verdicts on whole texts; `of_others`: on the text that was written to the other tile's image."""
        return [
            judged_claims(texts[at], mine, truth, window, judge) if at >= 0 else []
            for at, mine, truth, window in self._judging(of_others)
        ]

    def parts(self, texts: Sequence[Mapping[str, str]], of_others: bool = False) -> list[list[JudgedClaim]]:
        """The same of sub-texts that were asked for."""
        return [
            judged_parts(texts[at], mine, truth, window, judge) if at >= 0 else []
            for at, mine, truth, window in self._judging(of_others)
        ]


def _asked(bench: Bench, encoder: Encoder, images: EncodedImages, trial: _Trial) -> tuple[list[Row], dict[str, Json]]:
    """Rows and details of the dimensions that were asked for: all, by set, and by set and dimension."""
    # A total hides that one dimension is mostly wrong: the rows go down to each of them.
    assert isinstance(encoder, WritingEncoder)
    written = write_dimensions(encoder, images, trial.places, trial.sets)
    twin = OTHER_IMAGE + encoder.name
    said = {encoder.name: trial.parts(written), twin: trial.parts(written, of_others=True)}
    if bench.truths:
        known = {
            tile_id: dict(zip(rows["dimension"], rows["text"])) for tile_id, rows in bench.texts.groupby("tile_id")
        }
        said[bench.annotator] = trial.parts([known[tile_id] for tile_id in trial.tile_ids])
    fixed = _fixed_sub_texts(bench, set(trial.sets))
    floors = {
        name: trial.parts([{one: texts[f"{mine} {one}"] for one in DIMENSIONS[mine]} for mine in trial.sets])
        for name, texts in fixed.items()
    }
    rows: list[Row] = []
    details: dict[str, Json] = {}
    note = "Nothing that is said of it can be verified." if bench.truths else "The data set has no truth."
    groups = [f"{name} {one}" for name in DIMENSIONS if name in trial.sets for one in DIMENSIONS[name]]
    sets = [name for name in DIMENSIONS if name in trial.sets]

    def row(who: str, of: str) -> Row:
        def part(claims: Sequence[Sequence[JudgedClaim]]) -> list[list[JudgedClaim]]:
            return [[one for one in row if of in ("", one.instruction_set, one.group)] for row in claims]

        blind = {**floors, "other image": said[twin]} if who == encoder.name else floors
        reached = {name: _value(true_share(part(claims), trial.clusters)) for name, claims in blind.items()}
        metric = f"true claims, asked{', ' if of else ''}{of}"
        return _true_row(bench, who, metric, part(said[who]), trial.clusters, reached, note)

    for of in ("", *sets):
        rows += [row(who, of) for who in said]
    for of in groups:
        found = {who: row(who, of) for who in said}
        rows.append(found[encoder.name])
        figures: dict[str, Json] = {"true": found[encoder.name].value, "n": found[encoder.name].n}
        for who, key in ((twin, "other_image"), (bench.annotator, "annotator")):
            one = found.get(who)
            figures |= {key: one.value if one else None, f"{key}_n": one.n if one else 0}
        details[of] = figures | {"reason": note if None in figures.values() else ""}
    return rows, {"asked": details, "without_other_image": int((trial.other < 0).sum())}


def _true_row(
    bench: Bench,
    who: str,
    metric: str,
    claims: Sequence[Sequence[JudgedClaim]],
    clusters: Sequence[str],
    floors: Mapping[str, float | None],
    note: str,
) -> Row:
    """Share of true claims, with the reason where nothing can be verified."""
    share = true_share(claims, clusters)
    return bench.row("caption", who, metric, share, floors, "" if share else note)


def _score_rows(
    bench: Bench,
    who: str,
    generated: Sequence[str],
    references: Sequence[str],
    clusters: Sequence[str],
    fixed: Mapping[str, str],
    perfect: Sequence[str],
) -> list[Row]:
    """Likeness to the annotator's words, beside that of texts that are the same for every image; `perfect` are these
    words as the model's vocabulary spells them."""
    # Capitals and the spaces around marks are lost in writing: both sides lose them.
    generated, references = [one_spelling(text) for text in generated], [one_spelling(text) for text in references]
    fixed, perfect = (
        {name: one_spelling(text) for name, text in fixed.items()},
        [one_spelling(text) for text in perfect],
    )
    scorer = CaptionScorer([[text] for text in references], clusters, [*generated, *fixed.values()])
    of_fixed = {name: scorer.scores([text] * len(references)) for name, text in fixed.items()}
    best = {} if perfect == references else scorer.scores(perfect)
    rows = []
    for metric, score in scorer.scores(generated).items():
        reached = {name: found[metric].value for name, found in of_fixed.items()}
        note = " ".join(one for one in (score.reason, best_note(best.get(metric))) if one)
        rows.append(bench.row("caption", who, metric, score.figure, reached, note, unit="number"))
    return rows


def _training_texts(bench: Bench) -> pd.DataFrame:
    """Texts of at most `_BASELINE_TEXTS` training tiles."""
    known = bench.data.texts(0)
    train_ids = bench.data.tiles("train")["tile_id"].to_numpy()
    train_ids = np.random.default_rng(bench.seed).permutation(train_ids)[:_BASELINE_TEXTS]
    return known[known["tile_id"].isin(set(train_ids))]


def _fixed_texts(bench: Bench) -> dict[str, str]:
    """What to say of every image without looking. Fitted where the model was: on what training saw."""
    return fixed_texts(list(compose_texts(_training_texts(bench)).values()))


def _fixed_sub_texts(bench: Bench, sets: set[str]) -> dict[str, dict[str, str]]:
    """The same by instruction set and dimension, "" where training never spoke of it: name -> "SET DIMENSION" ->
    sub-text."""
    known = _training_texts(bench)
    groups = {
        str(key): rows["text"].to_list()
        for key, rows in known.groupby(known["instruction_set"] + " " + known["dimension"])
    }
    fixed = {f"{name} {one}": fixed_texts(groups.get(f"{name} {one}", [])) for name in sets for one in DIMENSIONS[name]}
    return {
        kind: {group: texts.get(kind, "") for group, texts in fixed.items()}
        for kind in ("typical text", "frequent text")
    }


def true_share(claims: Sequence[Sequence[JudgedClaim]], clusters: Sequence[str]) -> Estimate | None:
    """Share of verifiable claims that are true, over all texts; None where none can be verified."""
    known = [(one.true, cluster) for row, cluster in zip(claims, clusters) for one in row if one.true is not None]
    return proportion([true for true, _ in known], [cluster for _, cluster in known]) if known else None


def _value(figure: Estimate | None) -> float | None:
    return figure.value if figure else None


def _details(
    generated: Sequence[str], references: Sequence[str], claims: Sequence[Sequence[JudgedClaim]]
) -> dict[str, Json]:
    known = [one for row in claims for one in row if one.true is not None]
    by_group = {
        name: [bool(one.true) for one in known if one.group == name] for name in sorted({one.group for one in known})
    }
    return {
        "exact": float(np.mean([a.strip().lower() == b.strip().lower() for a, b in zip(generated, references)])),
        "distinct": len(set(generated)) / len(generated),
        "words": float(np.mean([len(text.split()) for text in generated])),
        "reference_words": float(np.mean([len(text.split()) for text in references])),
        "claims_per_text": len(known) / len(claims),
        "true_claims": {name: {"true": float(np.mean(true)), "n": len(true)} for name, true in by_group.items()},
    }


BENCH: Final = CAPTIONING
"""Fine-tuned and measured: :mod:`knowlip.tasks.captioning`."""
