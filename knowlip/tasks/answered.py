"""What a model answered to the questions about the tiles that were measured, and the figures of it: of one fold, or of
several that ask about each tile once.

`predictions.parquet`, one row a question: `tile_id`, `group` (of copies), `type`, `subject`, `question`, `answer` (the
right one), `ranked` (the likeliest of the candidates; "A or B" where the model reads both as the same, and `alike` is
true), `confidence` (its probability, calibrated) and `raw` (before that), `generated`, `written_answer` (the right one
as the model would write it, null where its vocabulary cannot spell it), `other` (ranked with the image of another tile,
null where there is none) with `other_confidence` and `other_raw`, `annotator` (null where nothing is known), for each
floor `floor:NAME`, null where it says nothing of the type, and `sure:NAME` (how often training gave this answer), for
the error of counts `error-floor:NAME`, and where one was given `detector:NAME`, null where it has not measured the
tile.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from knowlip.base.files import sha256
from knowlip.base.rows import ANNOTATOR, OTHER_IMAGE, Better, Json, Row, Unit, highest_floor
from knowlip.language.questions import QUESTION_TYPES, QuestionType
from knowlip.tasks.detector_counts import DETECTOR
from knowlip.tasks.metrics import Estimate, mean, mean_of_means, proportion
from knowlip.tasks.metrics.intervals import over_clusters
from knowlip.tasks.runs import FLOOR

_BINS: Final = 10
_WHOLE: Final = re.compile(r"[0-9]{1,6}")
_NUMBER: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?")
_TEMPERATURES: Final = np.geomspace(0.25, 8.0, 81)
SURE: Final = "sure:"
"""What the column begins with of how sure the floor of the same name is."""
ERROR_FLOOR: Final = "error-floor:"
"""What the column of a floor of the error of counts begins with."""
ALIKE: Final = " or "
"""Between answers that the model reads as the same."""
_HOW: Final = {"ranked": "ranked", "generated": "written"}
"""Column -> how the metric calls it."""


def calibrated(scores: Sequence[np.ndarray], right: Sequence[int], groups: Sequence[str]) -> tuple[np.ndarray, str]:
    """Probability of the likeliest candidate of each question under a temperature that was chosen on other tiles.

    The groups are dealt into two halves by their hash, and each half gets the temperature under which the right
    answers of the other are likeliest (temperature scaling, Guo et al. 2017).

    Args:
        scores: log-probabilities of the candidates of each question (they need not add up to 1).
        right: number of the right candidate, -1 where it is none of them.
        groups: group of copies of each question's tile.

    Returns:
        Probabilities (Q,), and the temperatures for people, "" where there are fewer than two groups.
    """
    names = sorted({*groups}, key=lambda name: sha256(name.encode()))
    half = {name: place % 2 for place, name in enumerate(names)}
    part = np.array([half[name] for name in groups], int)
    found, chosen = np.array([_top(score, 1.0) for score in scores]), []
    for number in (0, 1):
        fit = [at for at in np.flatnonzero(part != number).tolist() if right[at] >= 0]
        if not fit or not (part == number).any():
            continue
        losses = [sum(-float(_log_softmax(scores[at] / t)[right[at]]) for at in fit) for t in _TEMPERATURES]
        best = float(_TEMPERATURES[int(np.argmin(losses))])
        chosen.append(f"{best:.2f}")
        for at in np.flatnonzero(part == number).tolist():
            found[at] = _top(scores[at], best)
    return found, " and ".join(chosen)


def _log_softmax(score: np.ndarray) -> np.ndarray:
    shifted = score.astype(float) - score.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def _top(score: np.ndarray, temperature: float) -> float:
    return float(np.exp(_log_softmax(score / temperature).max()))


def calibration_error(confidence: np.ndarray, hit: np.ndarray) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over ten bins of equally many answers.

    Where equally sure answers fall into several bins, each bin gets their mean accuracy: no bin depends on the order in
    which answers stand.
    """
    order = np.argsort(confidence, kind="stable")
    _, alike = np.unique(confidence, return_inverse=True)
    right = (np.bincount(alike, hit) / np.bincount(alike))[alike]
    bins = [part for part in np.array_split(order, _BINS) if len(part)]
    gaps = [abs(float(confidence[part].mean()) - float(right[part].mean())) * len(part) for part in bins]
    return sum(gaps) / len(confidence)


def risk_coverage(confidence: np.ndarray, hit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (share of the surest answers that are given) and risk (share of wrong ones among them), rising in
    coverage; answers of equal confidence are given together."""
    order = np.argsort(-confidence, kind="stable")
    number = np.arange(1, len(order) + 1)
    wrong = np.cumsum(1.0 - hit[order])
    last = np.append(np.diff(confidence[order]) != 0, True)
    return number[last] / len(order), wrong[last] / number[last]


# ---- the table ------------------------------------------------------------------------------------------------------


def hits(table: pd.DataFrame, column: str) -> np.ndarray:
    """Whether each answer of a column is exactly right (Q,) bool; silence is wrong."""
    # What is written can only be compared with the right answer as the model would write it.
    spelled = column == "generated" and "written_answer" in table
    right = table["written_answer" if spelled else "answer"]
    # What the vocabulary cannot spell is never written, and what nobody said is no answer.
    said = table[column].fillna("")
    return ((said == right.fillna("")) & (said != "") & right.notna()).to_numpy(bool)


def unsaid(table: pd.DataFrame, column: str) -> str:
    """How many answers of a column the model has no words for, which count as wrong; "" where there is none."""
    if column == "generated" and "written_answer" in table:
        none = int(table["written_answer"].isna().sum())
        return f"{none} right answers cannot be spelled in the model's vocabulary, and count as wrong." if none else ""
    if column == "ranked" and "alike" in table:
        none = int(table["alike"].fillna(False).astype(bool).sum())
        return f"{none} chosen answers are the same to the model as another one, and count as wrong." if none else ""
    return ""


def kinds_in(table: pd.DataFrame) -> list[str]:
    """The types in a table: the six in their order, then others by name."""
    there = {*table["type"]}
    return [kind for kind in (*QUESTION_TYPES, *sorted(there - {*QUESTION_TYPES})) if kind in there]


class _Rows:
    """Rows of one table."""

    def __init__(
        self, table: pd.DataFrame, data: str, split: str, encoder: str, note: str, floor_note: str, detector_note: str
    ) -> None:
        self.table, self.data, self.split, self.encoder = table, data, split, encoder
        self.note, self.floor_note, self.detector_note = note, floor_note, detector_note
        self.floors = [name for name in table.columns if name.startswith(FLOOR)]

    def row(
        self,
        encoder: str,
        metric: str,
        figure: Estimate | None,
        floors: Mapping[str, float | None],
        unit: Unit = "share",
        better: Better = "higher",
        note: str = "",
    ) -> Row:
        floor, name = highest_floor(floors, better)
        own = self.floor_note if encoder.startswith((FLOOR, ANNOTATOR)) else self.note
        own = self.detector_note if encoder.startswith(DETECTOR) else own
        said = " ".join(one for one in (own, note, figure.note if figure else "") if one)
        head = (self.data, self.split, "vqa", encoder, metric)
        if figure is None:
            return Row(*head, None, None, 0, floor, name, said, unit, better)
        return Row(*head, figure.value, figure.ci, figure.n, floor, name, said, unit, better)

    def others(self, part: pd.DataFrame) -> dict[str, str]:
        """Who else answered questions of a part: encoder of its rows -> column."""
        said = {f"{FLOOR}{name.removeprefix(FLOOR)}": name for name in self.floors if part[name].notna().any()}
        if part["other"].notna().any():
            said[f"{OTHER_IMAGE}{self.encoder}"] = "other"
        if part["annotator"].notna().any():
            said[f"{ANNOTATOR}texts"] = "annotator"
        detectors = [name for name in part.columns if name.startswith(DETECTOR)]
        return said | {name: name for name in detectors if part[name].notna().any()}


def measured_rows(
    table: pd.DataFrame,
    data: str,
    split: str,
    encoder: str,
    note: str = "",
    floor_note: str = "",
    detector_note: str = "",
) -> tuple[Row, ...]:
    """Exact accuracy of each type and their mean, by ranking and by writing; the error of counts; how much confidence
    is worth; and all who answer without looking, or look at another tile, on the same questions.

    Args:
        table: predictions of one or more folds.
        data, split, encoder: as rows name them.
        note: what a reader must know besides.
        floor_note: the same of the floors.
        detector_note: the same of a detector, which has not learned what the model has.
    """
    make = _Rows(table, data, split, encoder, note, floor_note, detector_note)
    kinds = kinds_in(table)
    parts = {kind: table[table["type"] == kind] for kind in kinds}
    own: list[Row] = []
    beside: list[Row] = []
    means: dict[str, dict[str, float]] = {}
    for kind, part in parts.items():
        clusters, metric = part["group"].astype(str).to_numpy(), f"{kind.replace('_', ' ')} accuracy"
        said = make.others(part)
        floors = {name: float(hits(part, name).mean()) for name in make.floors if name in said.values()}
        named = {name.removeprefix(FLOOR): value for name, value in floors.items()}
        for column, how in _HOW.items():
            if part[column].notna().any():
                figure, told = proportion(hits(part, column), clusters), unsaid(part, column)
                own.append(make.row(encoder, f"{metric}, {how}", figure, named, note=told))
        for who, column in said.items():
            limited = column == "other" or column.startswith(DETECTOR)
            asked = part[part[column].notna()] if limited else part
            none = int((asked[column].fillna("") == "").sum())
            silent = f"Silent on {none}, which counts as wrong." if none else ""
            if column.startswith(DETECTOR):
                silent = f"The model is right about {hits(asked, 'ranked').mean():.1%} of the same questions."
            found = proportion(hits(asked, column), asked["group"].astype(str).to_numpy())
            beside.append(make.row(who, metric, found, named, note=silent))
            means.setdefault(column, {})[kind] = found.value
    common = {  # a floor that says nothing of a type is the best of the others there
        name.removeprefix(FLOOR): float(
            np.mean([means[name].get(kind, _best(means, kind, make.floors)) for kind in kinds])
        )
        for name in make.floors
        if name in means
    }
    first = [
        make.row(
            encoder,
            f"mean accuracy, {how}",
            mean_of_means(
                [hits(part, column) for part in parts.values()],
                [part["group"].to_numpy() for part in parts.values()],
            ),
            common,
            note=unsaid(table, column),
        )
        for column, how in _HOW.items()
        if table[column].notna().any()
    ]
    return (*first, *own, *_count_rows(make), *_confidence_rows(make), *beside)


def _best(means: Mapping[str, Mapping[str, float]], kind: str, floors: Sequence[str]) -> float:
    return max((means[name][kind] for name in floors if kind in means.get(name, {})), default=0.0)


def _count_rows(make: _Rows) -> list[Row]:
    """Mean absolute error of counts."""
    # An error needs a number on both sides: whoever says none is left out of its own mean, which its note counts.
    asked = make.table[make.table["type"] == QuestionType.COUNT]
    # A model may write "infinity", and a file hold a number of a thousand digits: one of them would be the whole mean.
    part = asked[_numeric(asked["answer"], _WHOLE)] if len(asked) else asked
    worded = len(asked) - len(part)
    unread = f"{worded} questions whose right answer is no number in digits are left out." if worded else ""
    metric = "count mean absolute error"
    if part.empty:
        head = (make.data, make.split, "vqa", make.encoder, f"{metric}, ranked")
        return [Row(*head, None, None, 0, None, "", unread, "number", "lower")] if worded else []
    true, clusters = part["answer"].astype(float), part["group"].astype(str)

    def number(column: str) -> pd.Series:
        return pd.to_numeric(part[column].where(_numeric(part[column], _NUMBER)), errors="coerce")

    def error(column: str, asked: pd.Series | None = None) -> Estimate | None:
        said = number(column)
        known = said.notna() if asked is None else said.notna() & asked
        return mean((said - true).abs()[known].to_numpy(), clusters[known].to_numpy()) if known.any() else None

    # The likeliest number is not the one of the smallest error: floors of the error have numbers of their own.
    medians = [name for name in part.columns if name.startswith(ERROR_FLOOR)]

    def floors(column: str) -> dict[str, float]:
        """Of the questions that somebody gives a number to: who is silent on the hard ones beats no floor by that."""
        asked = number(column).notna()
        found = {name: error(name, asked if asked.any() else None) for name in (*make.floors, *medians)}
        return {
            name.removeprefix(ERROR_FLOOR).removeprefix(FLOOR): one.value
            for name, one in found.items()
            if one is not None
        }

    rows = []
    for who, column, how in ((make.encoder, "ranked", ", ranked"), (make.encoder, "generated", ", written")):
        one = error(column)
        if one is not None or part[column].notna().any():
            silent = len(part) - (one.n if one else 0)
            note = f"{silent} answers that are no number are left out." if silent else ""
            note = " ".join(text for text in (unread, note) if text)
            rows.append(make.row(who, metric + how, one, floors(column), "number", "lower", note))
    blind = {f"{FLOOR}{name.removeprefix(ERROR_FLOOR)}": name for name in medians}
    for who, column in (make.others(part) | blind).items():
        if (one := error(column)) is not None:
            none = len(part) - one.n
            note = f"{none} answers that are no number, or none, are left out." if none else ""
            note = " ".join(text for text in (unread, note) if text)
            rows.append(make.row(who, metric, one, floors(column), "number", "lower", note))
    return rows


def _numeric(said: pd.Series, pattern: re.Pattern[str]) -> pd.Series:
    """Which of some answers are numbers that can be of something."""
    return said.astype(object).map(lambda one: isinstance(one, str) and bool(pattern.fullmatch(one.strip())))


class _Trust(NamedTuple):
    """What one's confidence is worth."""

    half: float
    """Accuracy of the surest half."""
    area: float
    """Risk over coverage."""
    error: float
    """Calibration error."""


def _trust(table: pd.DataFrame, column: str, sure: str) -> _Trust | None:
    """Of a column of answers under a column of confidence; None where one of them says nothing."""
    if column not in table or sure not in table:
        return None
    part = table[table[column].notna() & table[sure].notna()]
    if part.empty:
        return None
    hit, trust = hits(part, column).astype(float), part[sure].to_numpy(float)
    coverage, risk = risk_coverage(trust, hit)
    area = float(np.trapezoid(np.append(risk[:1], risk), np.append(0.0, coverage)))
    return _Trust(_surest_half(trust, hit), area, calibration_error(trust, hit))


def _half_of(trust: np.ndarray) -> np.ndarray:
    """How much of each answer (Q,) belongs to the surer half; of those that are equally sure at its border a share."""
    half = max(1, len(trust) // 2)
    border = np.sort(trust)[::-1][half - 1]
    above, at = trust > border, trust == border
    return above + at * ((half - above.sum()) / at.sum())


def _surest_half(trust: np.ndarray, hit: np.ndarray) -> float:
    """Accuracy of the surer half of answers."""
    return float(np.average(hit, weights=_half_of(trust)))


def _of_surest_half(trust: np.ndarray, hit: np.ndarray, clusters: np.ndarray) -> Estimate:
    """The same with its interval."""
    weights = _half_of(trust)
    chosen = weights > 0
    if (weights[chosen] == 1).all():
        return proportion(hit[chosen] > 0, clusters[chosen])
    part, right = weights[chosen], hit[chosen]

    def figure(times: np.ndarray) -> float:
        total = float((times * part).sum())
        return float((times * part * right).sum()) / total if total else float("nan")

    return over_clusters(figure, list(clusters[chosen]), round(float(weights.sum())))


def _confidence_rows(make: _Rows) -> list[Row]:
    """What the confidence of ranked answers is worth, beside that of who does not look."""
    # Areas and calibration are figures of an order of all answers, which a draw of clusters would tear apart. An order
    # by how easy the kind of question is needs no image: the blind answers come by how often training gave them.
    table, clusters = make.table, make.table["group"].astype(str).to_numpy()
    hit, sure = hits(table, "ranked").astype(float), table["confidence"].to_numpy(float)
    own, raw = _trust(table, "ranked", "confidence"), _trust(table, "ranked", "raw")
    if own is None or raw is None:
        return []
    note = "No interval: a figure of all answers together."
    blind = {name.removeprefix(FLOOR): _trust(table, name, SURE + name.removeprefix(FLOOR)) for name in make.floors}
    twin, raw_twin = _trust(table, "other", "other_confidence"), _trust(table, "other", "other_raw")
    known = {name: one for name, one in (*blind.items(), ("other image", twin)) if one is not None}
    known_raw = {name: one for name, one in (*blind.items(), ("other image", raw_twin)) if one is not None}
    rows = [
        make.row(
            make.encoder,
            "accuracy of the surest half, ranked",
            _of_surest_half(sure, hit, clusters),
            {"all answers": float(hit.mean())} | {name: one.half for name, one in known.items()},
        )
    ]
    random = {"in random order": 1.0 - float(hit.mean())}
    for metric, value, floors in (
        ("risk over coverage, ranked", own.area, random | {name: one.area for name, one in known.items()}),
        ("calibration error, ranked", own.error, {name: one.error for name, one in known.items()}),
        (
            "calibration error before scaling, ranked",
            raw.error,
            {name: one.error for name, one in known_raw.items()},
        ),
    ):
        one = Estimate(value, None, len(table))
        rows.append(make.row(make.encoder, metric, one, floors, "number", "lower", note))
    return rows


def count_confusion(table: pd.DataFrame) -> dict[str, Json]:
    """How often each number was answered with which, by ranking: `classes` and `counts` (rows the right number)."""
    part = table[table["type"] == QuestionType.COUNT]
    names = sorted({*part["answer"], *part["ranked"]}, key=lambda name: (len(name), name))
    counts = pd.crosstab(pd.Categorical(part["answer"], names), pd.Categorical(part["ranked"], names), dropna=False)
    return {"classes": names, "counts": counts.to_numpy().tolist()}
