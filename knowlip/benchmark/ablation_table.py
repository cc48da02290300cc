"""Figures of the ablation: means with standard errors, whether it can see its effect at all, and differences of arms.

Two kinds of chance stand in a standard error: that of the training (seeds) and that of the places that are measured.
Arms share seeds and trials, so a difference is taken seed by seed and trial by trial. `se` is the root of the sum of
both squares; a trial's own chance counts in both, so it is rather too large than too small. Intervals are Student's t
with Welch and Satterthwaite's degrees of freedom.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from scipy.stats import t as student

from knowlip.benchmark.ablation_arms import Arm
from knowlip.benchmark.ablation_outcomes import OUTCOMES
from knowlip.language.questions import QUESTION_TYPES

ALL: Final = "all"
"""Group of all kinds: of sub-texts every trial counts the same, of questions every type."""
ERRORS: Final = 3.0
"""By so many standard errors the ceilings must differ."""
MIN_SEEDS: Final = 3
"""With fewer seeds nobody knows the chance of training well enough."""
PAPER: Final[Mapping[str, tuple[float, ...]]] = {
    "templates": (71.12, 86.24, 92.24, 94.54, 83.61, 78.96),
    "annotator": (92.83, 93.86, 93.68, 96.17, 86.34, 85.52),
    "annotator+screened": (97.18, 95.80, 94.61, 98.36, 87.43, 88.39),
    "annotator+ours": (98.70, 96.43, 97.89, 99.45, 89.07, 93.58),
}
"""Arm -> the row of Table 8 of arXiv 2509.23927 that it stands for (SARLANG, GEOVL, + screen, + refine): accuracy in
percent in the order of `QUESTION_TYPES`."""


class Trials:
    """What S seeds of an arm did in n trials, or in how many more of them than another arm.

    Args:
        value_SN: one number a trial.
        kind_N: number of its kind, from 0.
        clusters: its place.
        by_kind: whether kinds count the same, however many trials they have.
    """

    def __init__(self, value_SN: np.ndarray, kind_N: np.ndarray, clusters: Sequence[str], by_kind: bool) -> None:
        self.value_SN, self.clusters = value_SN, clusters
        kinds, self.kind_N = np.unique(kind_N, return_inverse=True)
        size_N = np.bincount(self.kind_N)[self.kind_N] if by_kind else np.full(len(kind_N), len(kind_N))
        self.weight_N = 1 / (size_N * (len(kinds) if by_kind else 1))
        """Of each trial in the mean; their sum is 1."""
        if not by_kind:
            self.kind_N = np.zeros(len(kind_N), int)

    def figure(self) -> dict[str, Any]:
        """`value`, `se` and its parts `se_seeds` (None for one seed) and `se_places` (None for one place), `ci`, value
        of each of the `seeds`, `n`. With one seed `se` and `ci` are of the places alone."""
        seeds = self.value_SN @ self.weight_N
        of_seeds = float(np.std(seeds, ddof=1) / np.sqrt(len(seeds))) if len(seeds) > 1 else None
        of_places, places = self._of_places()
        parts = [(se, count - 1) for se, count in ((of_seeds, len(seeds)), (of_places, places)) if se is not None]
        se = float(np.sqrt(sum(one**2 for one, _ in parts))) if parts else None
        value, ci = float(seeds.mean()), None
        if se is not None:
            freedom = se**4 / sum(one**4 / count for one, count in parts) if se else 1.0
            half = float(student.ppf(0.975, freedom)) * se
            ci = [value - half, value + half]
        return {
            "value": value,
            "se": se,
            "se_seeds": of_seeds,
            "se_places": of_places,
            "ci": ci,
            "seeds": [float(one) for one in seeds],
            "n": self.value_SN.shape[1],
        }

    def _of_places(self) -> tuple[float | None, int]:
        """Standard error over places of the mean over seeds (linearised, whole clusters), and the number of places."""
        mean_N = self.value_SN.mean(0)
        mean_K = np.bincount(self.kind_N, mean_N) / np.bincount(self.kind_N)
        _, place_N = np.unique(np.asarray(self.clusters), return_inverse=True)
        places = int(place_N.max()) + 1
        if places < 2:
            return None, places
        part_C = np.bincount(place_N, self.weight_N * (mean_N - mean_K[self.kind_N]))
        return float(np.sqrt(places / (places - 1) * (part_C**2).sum())), places


def groups_of(kinds: Sequence[str]) -> dict[str, list[str]]:
    """Group -> its kinds: all, those of each instruction set, and each by itself."""
    sets = sorted({kind.split(" ")[0] for kind in kinds if " " in kind})
    return {
        ALL: list(kinds),
        **{name: [kind for kind in kinds if kind.startswith(f"{name} ")] for name in sets},
        **{kind: [kind] for kind in kinds},
    }


def trials_of(rows: Sequence[Mapping[str, Any]], name: str, key: str, kinds: Sequence[str]) -> Trials:
    """Trials of some kinds of an outcome, over all seeds.

    Args:
        rows: one result a seed.
        name: of the outcome.
        key: "right" or "blind".
        kinds: of trials.
    """
    of_kinds = [[row[name][key][kind] for kind in kinds] for row in rows]
    value_SN = np.array([np.concatenate(one) for one in of_kinds], float)
    kind_N = np.repeat(np.arange(len(kinds)), [len(one) for one in of_kinds[0]])
    clusters = [place for kind in kinds for place in rows[0][name]["clusters"][kind]]
    return Trials(value_SN, kind_N, clusters, by_kind=name == "questions")


def figures(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    """Group -> figure of an outcome, with the blind twin's value as `blind` where it was measured."""
    kinds = list(rows[0][name]["right"])
    found = {}
    for group, members in groups_of(kinds).items():
        found[group] = trials_of(rows, name, "right", members).figure()
        blind = rows[0][name].get("blind", {})
        if all(len(blind.get(kind, ())) == len(rows[0][name]["right"][kind]) for kind in members):
            found[group]["blind"] = trials_of(rows, name, "blind", members).figure()["value"]
    return found


def differences(
    rows: Sequence[Mapping[str, Any]], than: Sequence[Mapping[str, Any]], name: str
) -> dict[str, dict[str, Any]]:
    """Group -> figure of the first minus the second, trial by trial, for the seeds that both have.

    Raises:
        ValueError: they did not answer the same trials.
    """
    seeds = min(len(rows), len(than))
    kinds = list(rows[0][name]["right"])
    found = {}
    for group, members in groups_of(kinds).items():
        if any(rows[0][name]["clusters"].get(kind) != than[0][name]["clusters"].get(kind) for kind in members):
            raise ValueError("Two arms answered other questions: use another output folder.")
        one, other = (trials_of(arm[:seeds], name, "right", members) for arm in (rows, than))
        one.value_SN = one.value_SN - other.value_SN
        found[group] = one.figure()
    return found


def power(least: Sequence[Mapping[str, Any]], most: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Whether an outcome tells the texts with the fewest errors from those with the most.

    Returns:
        `difference`, `se`, `needed` (the difference that would do), `shown`, `seeds`; where it is not shown `reason`,
        and `seeds_needed`, None where no number of seeds would do.
    """
    found = differences(least, most, name)[ALL]
    seeds, value, se = len(found["seeds"]), found["value"], found["se"]
    result = {
        "difference": value,
        "se": se,
        "seeds": seeds,
        "shown": False,
        "needed": None if se is None else ERRORS * se,
    }
    if found["se_seeds"] is None or se is None:
        return result | {"seeds_needed": MIN_SEEDS, "reason": "one seed says nothing about the chance of training"}
    places = found["se_places"] or 0.0
    # More seeds make only their own part of the error smaller; that of the places stays.
    left = (max(value, 0.0) / ERRORS) ** 2 - places**2
    needed = max(MIN_SEEDS, int(np.ceil((found["se_seeds"] ** 2) * seeds / left))) if left > 0 else None
    if value > ERRORS * se and seeds >= MIN_SEEDS:
        return result | {"shown": True, "seeds_needed": needed}
    if value > ERRORS * se:
        reason = f"{MIN_SEEDS} seeds are the least that tell the chance of training"
    elif needed is not None:
        reason = f"the difference is not above {ERRORS:.0f} standard errors"
    elif value > 0:
        reason = "the places measured are too few for a difference of this size, whatever the number of seeds"
    else:
        reason = "texts without errors do not teach more than those with the most"
    return result | {"seeds_needed": needed, "reason": reason}


def summary(results: Mapping[str, Sequence[Mapping[str, Any]]], least: str, most: str) -> dict[str, Any]:
    """Put the results of single trainings together.

    Args:
        results: arm -> one result a seed.
        least: arm of the texts with the fewest errors.
        most: of those with the most.

    Returns:
        `arms`: arm -> `what`, `n_seeds`, `texts` (share of true sub-texts), `decisions` (of SCIO), and outcome ->
        group -> :meth:`Trials.figure`. `power`: outcome -> :func:`power`. `differences`: arm -> `than`, and outcome ->
        group -> figure of the arm minus the one it is compared with: of texts the ones with the fewest errors, of a
        loop the same texts without it, and this only where `power` is shown. `floors`: type of question -> the highest
        accuracy without looking, and its name.
    """
    found: dict[str, Any] = {"arms": {}, "power": {}, "differences": {}, "floors": {}}
    names = [name for name in OUTCOMES if all(name in row for rows in results.values() for row in rows)]
    if least in results and most in results:
        found["power"] = {name: power(results[least], results[most], name) for name in names}
    for arm, rows in results.items():
        facts: dict[str, Any] = {
            "what": Arm.of(arm).what,
            "n_seeds": len(rows),
            "texts": [row["texts"] for row in rows],
            "decisions": [row["decisions"] for row in rows if row["decisions"]],
        }
        if arm in PAPER:
            facts["paper"] = dict(zip(QUESTION_TYPES, PAPER[arm]))
        found["arms"][arm] = facts | {name: figures(rows, name) for name in names}
        base = Arm.of(arm).base
        than = base.name if base else least
        if than != arm and than in results:
            compared: dict[str, Any] = {"than": than}
            for name in names:
                if not base or found["power"].get(name, {}).get("shown"):
                    compared[name] = differences(rows, results[than], name)
            found["differences"][arm] = compared
        found["floors"] |= rows[0].get("questions", {}).get("floors", {})
    return found


# ---- for people ------------------------------------------------------------------------------------------------------

_TITLES: Final = {"chosen": "true one chosen", "written": "true as written", "questions": "questions right"}


def print_arms(found: Mapping[str, Any]) -> str:
    """Tables in percent: the arms, whether the ablation has power, differences, and the ceilings by dimension."""
    arms, names = found["arms"], [name for name in OUTCOMES if any(name in row for row in found["arms"].values())]
    width = max(len(row["what"]) for row in arms.values()) + 2
    lines = [f"{'':{width}}{'true texts':>11}" + "".join(f"{_TITLES[name]:>21}{'blind':>7}" for name in names)]
    for arm, row in arms.items():
        true = [one["after"] for one in row["texts"] if one.get("after") is not None]
        cells = "".join(f"{_cell(row[name][ALL]):>21}{_percent(_blind(found, row, name)):>7}" for name in names)
        paper = f"   paper: {np.mean(PAPER[arm]):.1f}" if arm in PAPER and "questions" in names else ""
        lines.append(f"{row['what']:{width}}{_percent(float(np.mean(true)) if true else None):>11}{cells}{paper}")
    lines += [_power_told(name, one) for name, one in found["power"].items()]
    for arm, row in found["differences"].items():
        of = [f"{_TITLES[name]} {_signed(row[name][ALL])}" for name in names if name in row]
        if of:
            lines.append(f"{arm} minus {row['than']}: {', '.join(of)}")
    ends = [arm for arm in arms if Arm.of(arm).base is None]
    for name in names[:1]:
        kinds = list(arms[ends[0]][name])
        lines.append(f"\n{_TITLES[name]:{width}}" + "".join(f"{arm:>12}" for arm in ends) + f"{'blind':>12}")
        for kind in kinds[1:]:
            cells = "".join(f"{_percent(arms[arm][name][kind]['value']):>12}" for arm in ends)
            lines.append(f"{kind:{width}}{cells}{_percent(arms[ends[0]][name][kind].get('blind')):>12}")
    return "\n".join([*lines, *_cautions(found), _FOOT])


def _cautions(found: Mapping[str, Any]) -> list[str]:
    """What a reader must know of how the arms came to be."""
    told = []
    if found.get("generator") == "injected":
        told.append("The errors are of the generator that calibrates SCIO: what its loops win here is too much.")
    if len(commits := found.get("commits", ())) > 1:
        short = ", ".join(one[:8] for one in commits)
        told.append(f"The arms were trained by {len(commits)} versions of the code ({short}): they may differ by it.")
    return told


_FOOT: Final = (
    "Percent with 95 % intervals over seeds and places together (with one seed: over places alone). Blind: the image "
    "of another tile; for questions the most frequent answers. Of two sub-texts chance chooses the true one in 50."
)


def _power_told(name: str, one: Mapping[str, Any]) -> str:
    """Whether an outcome can see what wrong texts do."""
    se = "unknown" if one["se"] is None else f"{100 * one['se']:.2f}"
    told = f"{_TITLES[name]}: fewest errors minus most {100 * one['difference']:+.1f} points, standard error {se}"
    if one["shown"]:
        return f"{told}: differences are shown."
    seeds = (
        "no number of seeds would do" if one["seeds_needed"] is None else f"about {one['seeds_needed']} seeds needed"
    )
    return f"{told}: NO POWER, rows about SCIO are not compared ({one['reason']}; {seeds})."


def _blind(found: Mapping[str, Any], row: Mapping[str, Any], name: str) -> float | None:
    if name != "questions":
        blind: float | None = row[name][ALL].get("blind")
        return blind
    floors = [one[0] for one in found["floors"].values() if one[0] is not None]
    return float(np.mean(floors)) if floors else None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _cell(one: Mapping[str, Any]) -> str:
    ci = one["ci"]
    return f"{100 * one['value']:.1f}" + (f" [{100 * ci[0]:.1f}, {100 * ci[1]:.1f}]" if ci else "")


def _signed(one: Mapping[str, Any]) -> str:
    ci = one["ci"]
    return f"{100 * one['value']:+.1f}" + (f" [{100 * ci[0]:+.1f}, {100 * ci[1]:+.1f}]" if ci else "")
