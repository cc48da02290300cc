"""How sure the answers of our model may be taken to be, and when it had better refuse: fitted on simulated places,
measured on others.

    knowlip simulate --out SCENES --cities 10 --first_city 100 --seed 190
    python -m benchmarks.ask_evidence SCENES [--model FOLDER] [--write] [--tiles 60] [--own_pixels] [--scores FILE]

The cities of SCENES are dealt in two by turns: one half fits, the other is measured; no training saw the cities nor the
seed. Tiles are cut as a build cuts them (1024, 512 and 256 m, one quantiser a scene), those of scenes of 1 m also after
averaging to coarser pixels with speckle of four looks. Every tile is asked what its truth clearly answers: how many
ships and how many aircraft of every tile, none included, and the others as `knowlip evaluate` asks them.

Fitted, each kind of question by subject: a temperature (the smallest squared error of the confidence; 1 unless that of
all cities but one clearly helps the one that was left out), the share that is right without
looking (the most frequent answer; of numbers where none is as frequent as the most frequent other one), the coarsest
pixels on which more answers are right than that, and the probability of "none" from which on types and places are not
told. Measured on the other places: calibration error and risk over coverage before and after, beside blind answers and
the image of another tile; what is refused, rightly and wrongly; questions in people's words that are of no kind.
--write puts what was fitted beside the weights (`answers.json`), where what `benchmarks.changes` and
`benchmarks.scene_totals` have put there stays. --own_pixels cuts no coarser tiles; --scores keeps what the model said.
"""

import argparse
import pickle
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from scipy.stats import t as student_t

from benchmarks.ask_questions import INSIDE, OUTSIDE
from benchmarks.record import record
from benchmarks.visible_by_resolution import Cut, cuts
from knowlip.base.documents import read_json
from knowlip.base.files import file_sha256, write_json
from knowlip.base.progress import track
from knowlip.base.statistics import auroc, wilson
from knowlip.base.vocabulary import TARGET_CATEGORIES
from knowlip.inference.calibration import FORMAT, softmax
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import encode, open_model
from knowlip.inference.replies import OF_TARGETS
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
_MORE: Final = 5
"""Tiles of each width that are looked at for their targets alone, where pixels are not made coarser."""
_DRAWS: Final = 200
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


def tiles_of(path: Path, number: int, rng: np.random.Generator, own_pixels: bool) -> list[tuple[Cut, bool]]:
    """Tiles of a scene, and whether they were drawn: at its own pixels so many, and a quarter as many at each of the
    coarser ones where its own are 1 m, as equally of each width as there are; and all others that hold targets. With
    `own_pixels` none are coarser, and of each width at most `_MORE` others hold targets."""
    own = _metres(path)
    wanted = list(COARSE) if own == 1.0 and not own_pixels else [own]
    found: dict[tuple[float, str], list[Cut]] = defaultdict(list)
    for cut in cuts(path, wanted, detail=False):
        found[cut.metres, cut.window.scale].append(cut)
    chosen = []
    for (metres, _), some in found.items():
        each = max(1, (number if metres <= own * 1.5 else number // 4) // 3)
        order = [int(at) for at in rng.permutation(len(some))]
        drawn = {*order[:each]}
        more = [at for at in order[each:] if some[at].truth["objects"]]
        chosen += [(some[at], at in drawn) for at in sorted(drawn | {*(more[:_MORE] if own_pixels else more)})]
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
    """Under which the confidence of the likeliest answer has the smallest squared error (Brier score); 1 unless such a
    temperature of all cities but one makes that of the one smaller, by more than chance over cities."""
    # Not the likelihood of the right answers: on numbers it is ruled by the few that the model holds impossible, and
    # moves the confidence of all others away from how often they are right.
    hit = np.array([names[int(put.scores.argmax())] == put.answer for put in puts], float)
    sure = np.array([[softmax(put.scores, one).max() for put in puts] for one in _TEMPERATURES])
    losses = (sure - hit) ** 2
    plain = int(np.argmin(np.abs(_TEMPERATURES - 1.0)))
    city = np.array([put.city for put in puts])
    gains = []
    for one in np.unique(city):
        if (city != one).any():
            best = int(losses[:, city != one].sum(1).argmin())
            gains.append(float((losses[plain] - losses[best])[city == one].mean()))
    if len(gains) < 3:
        return 1.0
    spread = float(np.std(gains, ddof=1)) / np.sqrt(len(gains)) * float(student_t.ppf(0.975, len(gains) - 1))
    return float(_TEMPERATURES[int(losses.sum(1).argmin())]) if np.mean(gains) > spread else 1.0


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


def scored(
    model: KnowLIP, paths: Sequence[Path], number: int, own_pixels: bool, before: Mapping[str, Any]
) -> tuple[Candidates, int, list[Put]]:
    """The answers to choose from, the number of tiles, and how the model scores the answers to all their questions.
    Candidates of an earlier file stay candidates."""
    rng, tiles = np.random.default_rng(0), list[tuple[Cut, bool]]()
    for path in track(paths, "cut"):
        tiles += tiles_of(path, number, rng, own_pixels)
    kind = QuestionType.ALL_LANDFORMS
    earlier = before.get("kinds", {}).get(str(kind), {}).get("", {}).get("candidates", [])
    every = sorted({one[3] for cut in tiles for one in questions_of(*cut) if one[0] == kind} | {*earlier})
    candidates = {one: tuple(answers_of(one) or every) for one in QuestionType}
    return candidates, len(tiles), asked(model, tiles, candidates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tiles", type=int, default=60, help="of each scene and pixel size")
    parser.add_argument("--write", action="store_true", help="put answers.json beside the weights")
    parser.add_argument("--own_pixels", action="store_true", help="no scene is made coarser")
    parser.add_argument("--scores", type=Path, help="file that keeps what the model said, or holds it already")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    started = time.process_time()
    model, folder = open_model(options.model, "cpu")
    paths = sorted(path for path in options.scenes.glob("*.tif") if not path.name.endswith(".landcover.tif"))
    cities = sorted({_city(path) for path in paths})
    before = read_json(folder / ANSWERS) if (folder / ANSWERS).is_file() else {}
    kept_scores = options.scores is not None and options.scores.is_file()
    if kept_scores:
        candidates, numbers, rows = pickle.loads(options.scores.read_bytes())
        puts = [Put(*row) for row in rows]
    else:
        candidates, numbers, puts = scored(model, paths, options.tiles, options.own_pixels, before)
        if options.scores is not None:
            options.scores.write_bytes(pickle.dumps((candidates, numbers, [tuple(put) for put in puts])))
    fit, test = ([put for put in puts if cities.index(put.city) % 2 == half] for half in (0, 1))
    kinds = fitted(fit, candidates)
    number = candidates[QuestionType.COUNT]
    through = max(range(3), key=lambda one: scope(0, one)["outside_refused"] - scope(0, one)["inside_refused"])
    said = {
        "format": FORMAT,
        "weights_sha256": file_sha256(folder / WEIGHTS),
        "kinds": kinds,
        "absent": absent_limits(fit, kinds, number),
        "let_through": through,
        "fitted_on": {"cities": cities[::2], "questions": len(fit)},
    }
    if options.write:
        kept = {name: before[name] for name in ("changes", "totals") if name in before}
        same = before.get("weights_sha256") == said["weights_sha256"]
        write_json(folder / ANSWERS, said | (kept if same else {}))
    figures = measured(test, fit, said, candidates)
    every = together(test, said, candidates)
    rest = {
        "command": f"python -m benchmarks.ask_evidence SCENES --tiles {options.tiles} --write"
        + " --own_pixels" * options.own_pixels,
        "questions": {"fitted": len(fit), "measured": len(test), "at_own_pixels": every["n"]},
        "tiles": numbers,
        "cities": {"fitted": cities[::2], "measured": cities[1::2]},
        "all": every,
        "kinds": figures,
        "by_pixels": by_size(test, said, candidates),
        "absent": absent(test, said, number),
        "scope": {
            "fitted": {str(one): scope(0, one) for one in range(3)},
            "let_through": through,
            "measured": scope(1, through),
        },
        "answers": said,
        "cpu_seconds": None if kept_scores else round(time.process_time() - started, 1),
    }
    record(
        options.out,
        every["ece_after"],
        every["ece_perfect"],
        "calibration error of the confidence over all kinds, and that of as many answers of a perfectly calibrated one",
        rest,
        "one core",
    )


if __name__ == "__main__":
    main()
