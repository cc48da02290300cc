"""What the verdicts add up to: accuracy with Wilson intervals, share unsure, agreement of raters."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import combinations
from typing import Any, Final

from knowlip.annotators.audit.agreement import cohen_kappa, krippendorff_alpha
from knowlip.annotators.audit.sampling import AuditSample
from knowlip.annotators.audit.store import Unit
from knowlip.base.statistics import wilson
from knowlip.language.dimensions import DIMENSIONS, SLOTS, InstructionSet
from knowlip.language.statements import EVIDENCE

PAPER: Final[Mapping[str, tuple[int, ...]]] = {
    InstructionSet.GROUND: (73, 64, 69, 72, 78, 76, 80, 81),
    InstructionSet.MARINE: (78, 73, 86, 79, 79, 85, 89, 88),
    InstructionSet.TERRAIN: (79, 84, 87, 83, 84, 82, 84, 90),
}
"""Per cent found right by the experts of the KnowLIP paper on a 2 % sample, by dimension, read off its chart."""


def settle(given: dict[str, dict[Unit, str]]) -> dict[Unit, str]:
    """One verdict a sub-text: that of most raters who are sure.

    Args:
        given: rater -> sub-text -> verdict.

    Returns:
        sub-text -> "right", "wrong", "unsure" (nobody was sure) or "divided" (as many for right as for wrong).
    """
    votes: dict[Unit, Counter[str]] = defaultdict(Counter)
    for verdicts in given.values():
        for unit, verdict in verdicts.items():
            votes[unit][verdict] += 1
    settled = {}
    for unit, count in votes.items():
        right, wrong = count["right"], count["wrong"]
        settled[unit] = "right" if right > wrong else "wrong" if wrong > right else "divided" if right else "unsure"
    return settled


def cell(verdicts: list[str]) -> dict[str, Any]:
    """Counts of settled verdicts, the share right of those settled as right or wrong, and its 95 % interval."""
    count = Counter(verdicts)
    sure = count["right"] + count["wrong"]
    return {
        "judged": len(verdicts),
        **{kind: count[kind] for kind in ("right", "wrong", "unsure", "divided")},
        "accuracy": count["right"] / sure if sure else None,
        "interval": list(wilson(count["right"], sure)) if sure else None,
        "unsure_share": count["unsure"] / len(verdicts) if verdicts else None,
    }


def figures(
    sample: AuditSample,
    given: dict[str, dict[Unit, str]],
    set_of: dict[str, str],
    scale_of: dict[str, str],
    truth_says: dict[Unit, bool],
    rests_on: Mapping[Unit, str] | None = None,
) -> dict[str, Any]:
    """All numbers of a report. Those of dimensions and all together are of the first sentences, which are what the
    sub-texts are about; `by_evidence` counts all sentences by what they rest on.

    Args:
        sample: what was drawn.
        given: rater -> sub-text -> verdict; of sampled tiles only.
        set_of: sampled tile -> instruction set.
        scale_of: sampled tile -> scale.
        truth_says: sub-text -> whether the tile's truth bears it out; {} without truth.
        rests_on: sentence -> its evidence.
    """
    # Sets are told apart throughout: their eight dimensions share no meaning, and the paper gives its figures by set.
    every = settle(given)
    settled = {unit: verdict for unit, verdict in every.items() if unit[1] <= SLOTS}
    by_evidence: dict[str, list[str]] = {kind: [] for kind in EVIDENCE}
    for unit, verdict in every.items():
        by_evidence.setdefault((rests_on or {}).get(unit, "visual"), []).append(verdict)
    sets = {}
    for kind, dimensions in DIMENSIONS.items():
        of_kind = {unit: verdict for unit, verdict in settled.items() if set_of[unit[0]] == kind}
        if not any(stratum.instruction_set == kind for stratum in sample.strata):
            continue
        rows = []
        for slot, dimension in enumerate(dimensions, 1):
            units = {unit: verdict for unit, verdict in of_kind.items() if unit[1] == slot}
            row = {"dimension": dimension, **cell(list(units.values())), "paper": PAPER[kind][slot - 1] / 100}
            if truth_says:
                row["truth"] = _beside_truth(units, truth_says)
            rows.append(row)
        sets[kind] = {
            "dimensions": rows,
            "overall": cell(list(of_kind.values())),
            "weighted": _weighted(sample, of_kind, scale_of, kind),
            "paper": sum(PAPER[kind]) / 800,
            "agreement": agreement(_only(given, set_of, kind)),
        }
    return {
        "sets": sets,
        "overall": cell(list(settled.values())),
        "by_evidence": {kind: cell(verdicts) for kind, verdicts in by_evidence.items() if verdicts},
        "raters": {rater: cell(list(verdicts.values())) for rater, verdicts in sorted(given.items())},
        "agreement": agreement(given),
    }


def agreement(given: dict[str, dict[Unit, str]]) -> dict[str, Any]:
    """Cohen's kappa of every pair of raters on the sub-texts that both judged, and Krippendorff's alpha of all.

    "unsure" is a category like the others.
    """
    pairs = []
    for one, two in combinations(sorted(given), 2):
        both = sorted(given[one].keys() & given[two].keys())
        first, second = [given[one][unit] for unit in both], [given[two][unit] for unit in both]
        same = sum(a == b for a, b in zip(first, second)) / len(both) if both else None
        pairs.append({"raters": [one, two], "both": len(both), "same": same, "kappa": cohen_kappa(first, second)})
    units: dict[Unit, dict[str, str]] = defaultdict(dict)
    for rater, verdicts in given.items():
        for unit, verdict in verdicts.items():
            units[unit][rater] = verdict
    return {
        "pairs": pairs,
        "alpha": krippendorff_alpha(list(units.values())),
        "judged_twice": sum(len(unit) > 1 for unit in units.values()),
    }


def _only(given: dict[str, dict[Unit, str]], set_of: dict[str, str], kind: str) -> dict[str, dict[Unit, str]]:
    return {r: {unit: v for unit, v in verdicts.items() if set_of[unit[0]] == kind} for r, verdicts in given.items()}


def _weighted(sample: AuditSample, settled: dict[Unit, str], scale_of: dict[str, str], kind: str) -> float | None:
    """Accuracy with every scale counted by its tiles in the data set, not in the sample; None until each has some."""
    total, right = 0, 0.0
    for stratum in sample.strata:
        if stratum.instruction_set != kind:
            continue
        accuracy = cell([v for unit, v in settled.items() if scale_of[unit[0]] == stratum.scale])["accuracy"]
        if accuracy is None:
            return None
        total += stratum.tiles
        right += stratum.tiles * accuracy
    return right / total if total else None


def _beside_truth(units: dict[Unit, str], truth_says: dict[Unit, bool]) -> dict[str, Any]:
    """How often truth bears the texts out, and agrees with the raters where both have a word."""
    known = [unit for unit in units if unit in truth_says]
    both = [unit for unit in known if units[unit] in ("right", "wrong")]
    return {
        "judged": len(known),
        "accuracy": sum(truth_says[unit] for unit in known) / len(known) if known else None,
        "agrees": sum(truth_says[unit] == (units[unit] == "right") for unit in both) / len(both) if both else None,
    }
