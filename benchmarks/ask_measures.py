"""What :mod:`benchmarks.ask_evidence` measures on other places than those it fits: calibration, risk over coverage,
and what is refused."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from benchmarks.ask_questions import INSIDE, OUTSIDE
from benchmarks.ask_scores import COARSE, Candidates, Put
from knowlip.base.statistics import auroc
from knowlip.inference.calibration import softmax
from knowlip.language.asked import read_question
from knowlip.language.questions import QUESTION_TYPES, QuestionType
from knowlip.tasks.answered import calibration_error, risk_coverage
from knowlip.tasks.metrics import proportion

_DRAWS: Final = 200


def measured(
    puts: Sequence[Put], train: Sequence[Put], said: Mapping[str, Any], candidates: Candidates
) -> dict[str, Any]:
    """Each kind by subject on the places that measure, at the pixels of their scenes."""
    found: dict[str, Any] = {}
    groups: dict[tuple[QuestionType, str], list[Put]] = defaultdict(list)
    for put in puts:
        if put.native and put.counts:
            groups[put.group].append(put)
    for (kind, subject), some in sorted(groups.items()):
        facts = said["kinds"].get(str(kind), {}).get(subject)
        if facts is None:
            continue
        names = candidates[kind]
        mine = [put for put in train if put.native and put.counts and put.group == (kind, subject)]
        usual = Counter(put.answer for put in mine).most_common(1)[0]
        share = usual[1] / len(mine)
        hit = np.array([names[int(put.scores.argmax())] == put.answer for put in some], float)
        twin = np.array([names[int(put.other.argmax())] == put.answer for put in some], float)
        blind = np.array([usual[0] == put.answer for put in some], float)
        raw = np.array([np.exp(put.scores.max()) for put in some])
        before = np.array([softmax(put.scores, 1.0).max() for put in some])
        after = np.array([softmax(put.scores, facts["temperature"]).max() for put in some])
        other = np.array([softmax(put.other, facts["temperature"]).max() for put in some])
        given = after >= facts["least"]
        figure = proportion(hit.astype(bool), [put.city for put in some])
        found[f"{kind} {subject}".strip()] = {
            "n": len(some),
            "accuracy": round(float(hit.mean()), 4),
            "ci": None if figure.ci is None else [round(end, 4) for end in figure.ci],
            "blind_accuracy": round(float(blind.mean()), 4),
            "other_image_accuracy": round(float(twin.mean()), 4),
            "ece_words": _r(calibration_error(raw, hit)),
            "ece_before": _r(calibration_error(before, hit)),
            "ece_after": _r(calibration_error(after, hit)),
            "ece_perfect": _r(perfect_error(after)),
            "ece_blind": _r(abs(share - float(blind.mean()))),
            "ece_other_image": _r(calibration_error(other, twin)),
            "risk_area_words": _r(_area(raw, hit)),
            "risk_area_before": _r(_area(before, hit)),
            "risk_area_after": _r(_area(after, hit)),
            "risk_area_blind": _r(1 - float(blind.mean())),
            "risk_area_other_image": _r(_area(other, twin)),
            "unsure_refused": _r(float((~given).mean())),
            "accuracy_given": _r(float(hit[given].mean())) if given.any() else None,
            "accuracy_refused": _r(float(hit[~given].mean())) if (~given).any() else None,
            "answered_when_wrong_and_refused": _r(float((~given)[hit == 0].mean())) if (hit == 0).any() else None,
        }
    return found


def perfect_error(sure: np.ndarray) -> float:
    """The calibration error that as many answers show of a model whose confidence is exactly how often it is right."""
    rng = np.random.default_rng(0)
    draws = [calibration_error(sure, (rng.random(len(sure)) < sure).astype(float)) for _ in range(_DRAWS)]
    return float(np.mean(draws))


def together(puts: Sequence[Put], said: Mapping[str, Any], candidates: Candidates) -> dict[str, Any]:
    """The calibration error of all answers at the pixels of their scenes, with intervals over cities."""
    rows = []
    for put in puts:
        facts = said["kinds"].get(str(put.kind), {}).get(put.group[1])
        if facts is not None and put.native and put.counts:
            hit = candidates[put.kind][int(put.scores.argmax())] == put.answer
            sure = [softmax(put.scores, one).max() for one in (1.0, facts["temperature"])]
            rows.append((float(hit), float(np.exp(put.scores.max())), *sure))
    hit, *sures = np.array(rows).T
    cities = np.array([put.city for put in puts if put.native and put.counts and _known(put, said)])
    names, rng = np.unique(cities), np.random.default_rng(0)
    found: dict[str, Any] = {"n": len(rows), "cities": len(names), "accuracy": _r(hit.mean())}
    rows_of = {one: np.flatnonzero(cities == one) for one in names}
    draws = [np.concatenate([rows_of[one] for one in rng.choice(names, len(names))]) for _ in range(2 * _DRAWS)]
    for name, sure in zip(("words", "before", "after"), sures):
        ends = np.quantile([calibration_error(sure[at], hit[at]) for at in draws], [0.025, 0.975])
        found[f"ece_{name}"] = _r(calibration_error(sure, hit))
        found[f"ece_{name}_ci"] = [_r(end) for end in ends]
    return found | {"ece_perfect": _r(perfect_error(sures[-1])), "mean_confidence": _r(sures[-1].mean())}


def _known(put: Put, said: Mapping[str, Any]) -> bool:
    return put.group[1] in said["kinds"].get(str(put.kind), {})


def _r(value: float) -> float | None:
    """Rounded; None for the mean of nothing."""
    return round(float(value), 4) if np.isfinite(value) else None


def _area(sure: np.ndarray, hit: np.ndarray) -> float:
    """Mean share of wrong answers over all coverages."""
    coverage, risk = risk_coverage(sure, hit)
    return float(np.trapezoid(np.append(risk[:1], risk), np.append(0.0, coverage)))


def by_size(puts: Sequence[Put], said: Mapping[str, Any], candidates: Candidates) -> dict[str, Any]:
    """Share of right answers by the pixels of the scene, of scenes of 1 m and what they were averaged to, and what is
    refused for them."""
    found: dict[str, Any] = {}
    for kind in QUESTION_TYPES:
        for subject, facts in said["kinds"].get(str(kind), {}).items():
            line = {}
            for metres in COARSE:
                some = [put for put in puts if put.group == (kind, subject) and put.metres == metres]
                if kind == QuestionType.COUNT:
                    some = [put for put in some if put.answer != "0"]
                hits = [candidates[kind][int(put.scores.argmax())] == put.answer for put in some]
                if hits:
                    refused = facts["coarsest_m"] is not None and metres > facts["coarsest_m"]
                    line[f"{metres:g}"] = {"right": _r(np.mean(hits)), "n": len(hits), "refused": refused}
            found[f"{kind} {subject}".strip()] = line
    return found


def absent(puts: Sequence[Put], said: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """How often tiles without targets are told from those with some."""
    found = {}
    for category, limit in said["absent"].items():
        mine = [put for put in puts if put.group == (QuestionType.COUNT, category) and put.native]
        facts = said["kinds"]["count"][category]
        none = np.array([softmax(put.scores, facts["temperature"])[names.index("0")] for put in mine])
        twin = np.array([softmax(put.other, facts["temperature"])[names.index("0")] for put in mine])
        empty = np.array([put.answer == "0" for put in mine])
        found[category] = {
            "limit": limit,
            "empty": int(empty.sum()),
            "empty_refused": _r((none[empty] > limit).mean()),
            "with_targets": int((~empty).sum()),
            "with_targets_refused": _r((none[~empty] > limit).mean()),
            "other_image_empty_refused": _r((twin[empty] > limit).mean()),
            "other_image_with_targets_refused": _r((twin[~empty] > limit).mean()),
            "auroc": _r(auroc(none, empty) or 0.0),
        }
    return found


def scope(half: int, let_through: int) -> dict[str, Any]:
    """Which questions in people's words are refused.

    Args:
        half: 0 or 1, of both lists.
        let_through: words without a place that a question may have.
    """
    outside = [read_question(one, let_through).type is None for one in OUTSIDE[half::2]]
    read = [(read_question(one, let_through), kind, subject) for one, kind, subject in INSIDE[half::2]]
    refused = [one.type is None for one, _, _ in read]
    wrong = [one.type is not None and (one.type, one.subject) != (kind, subject) for one, kind, subject in read]
    return {
        "outside": len(outside),
        "outside_refused": _r(np.mean(outside)),
        "inside": len(read),
        "inside_refused": _r(np.mean(refused)),
        "inside_misread": _r(np.mean(wrong)),
    }
