"""What :mod:`benchmarks.ask_evidence` asks of tiles of simulated scenes, and how a model scores the answers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from benchmarks.visible_by_resolution import Cut, cuts
from knowlip.base.progress import track
from knowlip.base.vocabulary import TARGET_CATEGORIES
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import encode
from knowlip.inference.replies import OF_TARGETS
from knowlip.language.phrases import plural
from knowlip.language.questions import MAX_COUNT, TEMPLATES, QuestionType, answers_of, tile_questions
from knowlip.language.tile_facts import facts_from_truth
from knowlip.models import KnowLIP
from knowlip.simulator.sensors import SENSORS

COARSE: Final = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
"""Pixels that scenes of 1 m are averaged to."""
_OWN: Final = {sensor.name.removeprefix("sim-"): sensor.resolution_m for sensor in SENSORS.values()}
"""End of a scene's name -> its pixels."""
_MORE: Final = 5
"""Tiles of each width that are looked at for their targets alone, where pixels are not made coarser."""
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


def city_of(path: Path) -> str:
    """The city that a scene was simulated for."""
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
