"""How sure the answers of our model may be taken to be, and when it had better refuse: fitted on simulated places,
measured on others.

    knowlip simulate --out SCENES --cities 10 --first_city 100 --seed 190
    python -m benchmarks.ask_evidence SCENES [--model FOLDER] [--write] [--tiles 60]

The cities of SCENES are dealt in two by turns: one half fits, the other is measured; no training saw the cities nor the
seed. Tiles are cut as a build cuts them (1024, 512 and 256 m, one quantiser a scene), those of scenes of 1 m also after
averaging to coarser pixels with speckle of four looks. Every tile is asked what its truth clearly answers: how many
ships and how many aircraft of every tile, none included, and the others as `knowlip evaluate` asks them.

Fitted, each kind of question by subject: a temperature (the likeliest right answers), the share that is right without
looking (the most frequent answer; of numbers where none is as frequent as the most frequent other one), the coarsest
pixels on which more answers are right than that, and the probability of "none" from which on types and places are not
told. Measured on the other places: calibration error and risk over coverage before and after, beside blind answers and
the image of another tile; what is refused, rightly and wrongly; questions in people's words that are of no kind.
--write puts what was fitted beside the weights (`answers.json`).
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from benchmarks.ask_questions import INSIDE, OUTSIDE
from benchmarks.record import record
from benchmarks.visible_by_resolution import Cut, cuts
from knowlip.base.documents import read_json
from knowlip.base.files import file_sha256, write_json
from knowlip.base.generation import GenerationConfig
from knowlip.base.progress import track
from knowlip.base.statistics import auroc, wilson
from knowlip.base.vocabulary import TARGET_CATEGORIES
from knowlip.inference.ask import answer_view
from knowlip.inference.calibration import FORMAT, checked_calibration, softmax
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import encode, open_model
from knowlip.inference.replies import OF_TARGETS, Asker
from knowlip.inference.views import view_of
from knowlip.language.asked import read_question
from knowlip.language.phrases import plural
from knowlip.language.questions import MAX_COUNT, QUESTION_TYPES, TEMPLATES, QuestionType, answers_of, tile_questions
from knowlip.language.tile_facts import facts_from_truth
from knowlip.models import KnowLIP
from knowlip.models.hub import ANSWERS, WEIGHTS
from knowlip.simulator.sensors import SENSORS
from knowlip.tasks.answered import calibration_error, risk_coverage
from knowlip.tasks.metrics import proportion

RESULT: Final = Path(__file__).parent / "results" / "ask_evidence.json"
COARSE: Final = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
"""Pixels that scenes of 1 m are averaged to."""
_OWN: Final = {sensor.name.removeprefix("sim-"): sensor.resolution_m for sensor in SENSORS.values()}
"""End of a scene's name -> its pixels."""
_TEMPERATURES: Final = np.geomspace(0.25, 8.0, 81)
_FEWEST: Final = 20
"""Questions below which nothing is fitted."""
_BATCH: Final = 32
_OF: Final = (QuestionType.COUNT, QuestionType.RECOGNITION, QuestionType.POSITION)


Candidates = Mapping[QuestionType, Sequence[str]]
"""Kind -> the answers to choose from."""


class Put(NamedTuple):
    """A question about a tile and how the model scores its answers."""

    kind: QuestionType
    subject: str
    answer: str
    city: str
    metres: float
    """Of the scene that the tile was cut from."""
    native: bool
    scores: np.ndarray
    other: np.ndarray
    """With the image of another tile."""
    drawn: bool
    """Whether the tile was drawn among all; others are there for their targets alone."""

    @property
    def counts(self) -> bool:
        """Whether it counts among the answers to all tiles: what is asked of targets alone always does."""
        return self.drawn or self.kind in OF_TARGETS

    @property
    def group(self) -> tuple[QuestionType, str]:
        """What is fitted by itself."""
        return self.kind, self.subject if self.kind in _OF else ""


def _city(path: Path) -> str:
    return path.stem.rsplit("-", 1)[0]


def _metres(path: Path) -> float:
    return _OWN[path.stem.rsplit("-", 1)[1]]


def tiles_of(path: Path, number: int, rng: np.random.Generator) -> list[tuple[Cut, bool]]:
    """Tiles of a scene, and whether they were drawn: at its own pixels so many, and a quarter as many at each of the
    coarser ones where its own are 1 m, as equally of each width as there are; and all others that hold targets."""
    own = _metres(path)
    wanted = list(COARSE) if own == 1.0 else [own]
    found: dict[tuple[float, str], list[Cut]] = defaultdict(list)
    for cut in cuts(path, wanted, detail=False):
        found[cut.metres, cut.window.scale].append(cut)
    chosen = []
    for (metres, _), some in found.items():
        each = max(1, (number if metres <= own * 1.5 else number // 4) // 3)
        drawn = {int(at) for at in rng.permutation(len(some))[:each]}
        chosen += [(cut, at in drawn) for at, cut in enumerate(some) if at in drawn or cut.truth["objects"]]
    return chosen


def questions_of(cut: Cut, drawn: bool) -> list[tuple[QuestionType, str, str, str]]:
    """(kind, subject, question, right answer) of a tile; right numbers above the most are no answer. A tile that is
    there for its targets is asked about those alone."""
    facts = facts_from_truth(cut.truth)  # type: ignore[arg-type]
    found = []
    for category in TARGET_CATEGORIES:
        number = (facts.counts or {}).get(category, 0)
        if not (drawn or number):
            continue
        words = TEMPLATES[QuestionType.COUNT][0].format(plural=plural(category))
        found.append((QuestionType.COUNT, category, words, str(number) if number <= MAX_COUNT else "more"))
    for one in tile_questions(cut.window.tile_id, facts):
        if one.type != QuestionType.COUNT and (drawn or one.type in _OF):
            found.append((QuestionType(one.type), one.subject, one.question, one.answer))
    return found


def asked(model: KnowLIP, tiles: Sequence[tuple[Cut, bool]], candidates: Candidates) -> list[Put]:
    """All questions about tiles, scored with their own image and with that of another."""
    # Tiles in batches; the image of another tile is that of one half of the list away, of another city.
    images = [TakenImage(cut.request.image, cut.request.metres_per_pixel) for cut, _ in tiles]
    found: list[Put] = []
    away = len(tiles) // 2
    for start in track(range(0, len(tiles), _BATCH), "ask"):
        rows = range(start, min(start + _BATCH, len(tiles)))
        with torch.inference_mode():
            own, _ = encode(model, [images[row] for row in rows])
            other, _ = encode(model, [images[(row + away) % len(tiles)] for row in rows])
        by_kind: dict[QuestionType, list[tuple[int, tuple[QuestionType, str, str, str]]]] = defaultdict(list)
        for row in rows:
            for one in questions_of(*tiles[row]):
                by_kind[one[0]].append((row - start, one))
        for kind, some in by_kind.items():
            at, words = [place for place, _ in some], [one[2] for _, one in some]
            names = list(candidates[kind])
            scores = [model.rank(tokens[at], words, names).float().cpu().numpy() for tokens in (own, other)]
            for (place, one), score, twin in zip(some, *scores):
                cut, drawn = tiles[start + place]
                native = cut.metres == _OWN[cut.scene.rsplit("-", 1)[1]]
                found.append(
                    Put(kind, one[1], one[3], cut.scene.rsplit("-", 1)[0], cut.metres, native, score, twin, drawn)
                )
    return found


# ---- fitted ---------------------------------------------------------------------------------------------------------


def fitted(puts: Sequence[Put], candidates: Candidates) -> dict[str, Any]:
    """What `answers.json` says of kinds, from the places that fit."""
    kinds: dict[str, dict[str, Any]] = defaultdict(dict)
    groups: dict[tuple[QuestionType, str], list[Put]] = defaultdict(list)
    for put in puts:
        groups[put.group].append(put)
    for (kind, subject), some in sorted(groups.items()):
        names = candidates[kind]
        native = [put for put in some if put.native and put.counts]
        if len(native) < _FEWEST:
            continue
        best = temperature(native, names)
        floor = blind_share(native)
        kinds[str(kind)][subject] = {
            "temperature": round(best, 4),
            "floor": round(floor, 4),
            "least": 0.0 if kind == QuestionType.COUNT else round(floor, 4),
            "coarsest_m": coarsest(some, names, floor),
            "candidates": list(names) if answers_of(kind) is None else [],
            "n": len(native),
        }
    return dict(kinds)


def temperature(puts: Sequence[Put], names: Sequence[str]) -> float:
    """Under which the right answers are likeliest; 1 where such a temperature of all cities but one makes those of that
    one no likelier than none does."""
    right = [(put.scores, names.index(put.answer), put.city) for put in puts if put.answer in names]
    losses = np.array(
        [[-np.log(max(softmax(score, one)[at], 1e-12)) for score, at, _ in right] for one in _TEMPERATURES]
    )
    plain = int(np.argmin(np.abs(_TEMPERATURES - 1.0)))
    city = np.array([one for _, _, one in right])
    gain = 0.0
    for one in np.unique(city):
        best = int(losses[:, city != one].sum(1).argmin()) if (city != one).any() else plain
        gain += float((losses[plain, city == one] - losses[best, city == one]).sum())
    return float(_TEMPERATURES[int(losses.sum(1).argmin())]) if gain > 0 else 1.0


def blind_share(puts: Sequence[Put]) -> float:
    """Share of the most frequent answer; of numbers with none as frequent as the most frequent other one."""
    counted = Counter(put.answer for put in puts)
    if puts[0].kind == QuestionType.COUNT:
        most = max((number for answer, number in counted.items() if answer != "0"), default=1)
        counted["0"] = min(counted["0"], most)
    return max(counted.values()) / sum(counted.values())


def coarsest(puts: Sequence[Put], names: Sequence[str], floor: float) -> float | None:
    """The largest pixels before the first on which answers are clearly no righter than without looking (by the upper
    end of their interval), half way to those; None where no size is so bad. Numbers are held against tiles that hold
    targets, and against the most frequent number there."""
    by_size: dict[float, list[bool]] = defaultdict(list)
    there: Counter[str] = Counter()
    for put in puts:
        if put.kind != QuestionType.COUNT or put.answer != "0":
            by_size[put.metres].append(names[int(put.scores.argmax())] == put.answer)
            there[put.answer] += put.native
    if puts[0].kind == QuestionType.COUNT:
        floor = max(there.values(), default=0) / max(1, sum(there.values()))
    for at, metres in enumerate(COARSE):
        hits = by_size.get(metres, [])
        if len(hits) >= _FEWEST and wilson(sum(hits), len(hits))[1] <= floor:
            return (metres + COARSE[at - 1]) / 2 if at else 0.0
    return None


def absent_limits(puts: Sequence[Put], kinds: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """Category -> probability of none from which on there is none: where tiles with and without targets are told apart
    best (largest sum of both shares)."""
    found = {}
    for category in TARGET_CATEGORIES:
        facts = kinds["count"].get(category)
        mine = [put for put in puts if put.group == (QuestionType.COUNT, category) and put.native]
        if facts is None or not mine:
            continue
        none = np.array([softmax(put.scores, facts["temperature"])[names.index("0")] for put in mine])
        empty = np.array([put.answer == "0" for put in mine])
        limits = np.linspace(0.05, 0.99, 95)
        gains = [(none[empty] > one).mean() + (none[~empty] <= one).mean() for one in limits]
        found[category] = round(float(limits[int(np.argmax(gains))]), 3)
    return found


# ---- measured -------------------------------------------------------------------------------------------------------


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


def scene_totals(model: KnowLIP, paths: Sequence[Path], said: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of whole scenes, added up over windows as `knowlip ask` does it, beside the truth."""
    calibration, found = checked_calibration(said, Path(ANSWERS)), {}
    for category in TARGET_CATEGORIES:
        words = TEMPLATES[QuestionType.COUNT][0].format(plural=plural(category))
        read, facts = read_question(words), calibration.of(QuestionType.COUNT, category)
        asker = Asker(model, words, read, facts, calibration, True, GenerationConfig())
        rows = []
        for path in paths:
            told = answer_view(asker, view_of(path, model)).result.get("summary")
            features = read_json(path.with_suffix(".truth.geojson"))["features"]
            truth = sum(one["properties"].get("category") == category for one in features)
            if told is not None:
                rows.append((truth, int(told["answer"]), told["expected"], *told["interval"]))
        truth, total, expected, low, high = np.array(rows, float).T
        found[category] = {
            "scenes": len(rows),
            "true_number": _r(truth.mean()),
            "error_of_sum": _r(np.abs(total - truth).mean()),
            "error_of_expected": _r(np.abs(expected - truth).mean()),
            "error_of_none": _r(truth.mean()),
            "error_of_median": _r(np.abs(truth - np.median(truth)).mean()),
            "bias_of_sum": _r((total - truth).mean()),
            "within_interval": _r(((low <= truth) & (truth <= high)).mean()),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tiles", type=int, default=60, help="of each scene and pixel size")
    parser.add_argument("--write", action="store_true", help="put answers.json beside the weights")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    started = time.process_time()
    model, folder = open_model(options.model, "cpu")
    paths = sorted(path for path in options.scenes.glob("*.tif") if not path.name.endswith(".landcover.tif"))
    cities = sorted({_city(path) for path in paths})
    rng = np.random.default_rng(0)
    tiles: list[list[tuple[Cut, bool]]] = [[], []]
    for path in track(paths, "cut"):
        tiles[cities.index(_city(path)) % 2] += tiles_of(path, options.tiles, rng)
    every = sorted(
        {one[3] for half in tiles for cut in half for one in questions_of(*cut) if one[0] == "all_landforms"}
    )
    candidates = {kind: tuple(answers_of(kind) or every) for kind in QuestionType}
    fit, test = (asked(model, half, candidates) for half in tiles)
    kinds = fitted(fit, candidates)
    number = candidates[QuestionType.COUNT]
    through = max(range(3), key=lambda one: scope(0, one)["outside_refused"] - scope(0, one)["inside_refused"])
    said = {
        "format": FORMAT,
        "weights_sha256": file_sha256(folder / WEIGHTS),
        "kinds": kinds,
        "absent": absent_limits(fit, kinds, number),
        "let_through": through,
        "fitted_on": {"cities": cities[::2], "tiles": len(tiles[0]), "questions": len(fit)},
    }
    if options.write:
        write_json(folder / ANSWERS, said)
    figures = measured(test, fit, said, candidates)
    total = sum(one["n"] for one in figures.values())
    before, after = (
        round(sum(one["n"] * one[name] for one in figures.values()) / total, 4) for name in ("ece_words", "ece_after")
    )
    whole = [path for path in paths if _city(path) in cities[1::2] and _metres(path) >= 1]
    rest = {
        "command": "python -m benchmarks.ask_evidence SCENES --write",
        "questions": {"fitted": len(fit), "measured": len(test), "at_own_pixels": total},
        "tiles": [len(half) for half in tiles],
        "cities": {"fitted": cities[::2], "measured": cities[1::2]},
        "kinds": figures,
        "by_pixels": by_size(test, said, candidates),
        "absent": absent(test, said, number),
        "scenes": scene_totals(model, whole, said),
        "scope": {
            "fitted": {str(one): scope(0, one) for one in range(3)},
            "let_through": through,
            "measured": scope(1, through),
        },
        "answers": said,
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    record(
        options.out,
        after,
        before,
        "mean calibration error of the confidence, and of the probability of the words",
        rest,
        "one core",
    )


if __name__ == "__main__":
    main()
