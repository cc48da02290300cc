"""`knowlip questions make`: captions and questions about the tiles of a data set, from its labels or its truth.

    OUT/items.json      captions and questions (:mod:`~.records`)
    OUT/examples.html   random tiles with theirs

Everything depends on the seed and the tile alone but for what is left out for balance.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

import numpy as np

from knowlip.annotators.labels.captions import captions, unsaid
from knowlip.annotators.labels.facts import LabelFacts, LabelSource, open_share
from knowlip.base.progress import track
from knowlip.base.settings import plain
from knowlip.base.vocabulary import LAND_COVER, TARGET_CATEGORIES, landform_shares
from knowlip.dataset import Dataset
from knowlip.jobs.store import alone
from knowlip.language.categories import category_of, untyped
from knowlip.language.clear import ImageLabels, Spot, clear_facts
from knowlip.language.questions import Askable, Question, QuestionType, tile_askables
from knowlip.language.tile_facts import Facts
from knowlip.tasks.items.page import write_page
from knowlip.tasks.items.records import Caption, Items, counted, write_items
from knowlip.tasks.items.settings import MakeConfig, Positions
from knowlip.tasks.protocols import tile_groups

ITEMS: Final = "items.json"
PAGE: Final = "examples.html"
_COVERS: Final = frozenset(LAND_COVER.values())


class Made(TypedDict):
    """What was made."""

    items: str
    page: str
    captions: int
    questions: Mapping[str, Mapping[str, int]]
    """Split -> type -> number."""
    left_out: Mapping[str, Mapping[str, int]]


def make(config: MakeConfig) -> Made:
    """Make captions and questions and write them.

    Raises:
        ValueError: the data set has no labels, or they say nothing that could be said or asked.
    """
    data = Dataset(config.dataset)
    items = items_of(data, config, config.out / "cache")
    if not items.captions and not items.questions:
        raise ValueError(f"The labels of {config.dataset} say nothing that could be said or asked.")
    return written(items, data, config.out)


def written(items: Items, data: Dataset, out: Path) -> Made:
    """Write both files into a folder, and tell what they hold.

    Raises:
        ValueError: another process writes there.
    """
    # A page is never of other items than those that lie beside it, also where somebody kills this.
    with alone(out / ".writing", f"Another process writes captions and questions into {out}."):
        (out / PAGE).unlink(missing_ok=True)
        write_items(out / ITEMS, items, data)
        write_page(out / PAGE, items, data)
    split = dict(zip(data.tiles()["tile_id"], data.tiles()["split"]))
    numbers: dict[str, dict[str, int]] = {}
    for kind in items.types:
        for name, number in sorted(Counter(split[one.tile_id] for one in items.questions if one.type == kind).items()):
            numbers.setdefault(name, {})[kind] = number
    return {
        "items": str(out / ITEMS),
        "page": str(out / PAGE),
        "captions": len(items.captions),
        "questions": numbers,
        "left_out": items.left_out,
    }


def items_of(data: Dataset, config: MakeConfig, cache: Path | None = None) -> Items:
    """Captions and questions from the labels of a data set.

    Args:
        data: the data set.
        config: settings; its `dataset` and `out` are not read.
        cache: folder in which groups of near copies are kept.

    Raises:
        ValueError: the data set has no labels.
    """
    # Questions are cut down for balance in each split alone: what is measured does not depend on what is learned.
    source, tiles = LabelSource(data), data.tiles()
    split = {str(tile): str(name) for tile, name in zip(tiles["tile_id"], tiles["split"])}
    categories, typed = _of_set(data)
    copied = _copied(data, split, cache) if config.copies == "apart" else frozenset[str]()
    said: list[Caption] = []
    asked: list[Question] = []
    mute: list[str] = []
    silent: list[str] = []
    named = "truth" if data.truth() else "labels"
    for tile_id in track(sorted(split), "make captions and questions"):
        if tile_id in copied:
            mute.append(_COPY)
            silent.append(_COPY)
            continue
        facts = source.facts(tile_id)
        texts = captions(facts, config.captions, config.clear.cut) if config.captions else ()
        said += [Caption(tile_id, text, named) for text in texts]
        passed = unsaid(facts, config.clear.cut) if config.captions else ()
        mute += [f"in part: {why}" if texts else why for why in passed]
        if config.captions and not texts and not passed:
            mute.append("the labels say nothing about the image")
        known, reasons = clear_facts(labelled(facts, categories, typed), config.clear)
        silent += [f"{kind}: {why}" for kind, why in reasons.items()]
        asked += _asked(tile_id, known, config, named)
    kept: list[Question] = []
    for name in sorted({*split.values()}):
        part, dropped = _evened([one for one in asked if split[one.tile_id] == name], config)
        kept += part
        silent += dropped
    kept.sort(key=lambda one: (one.tile_id, QUESTION_ORDER[one.type], one.subject, one.question))
    left_out = {"captions": counted(mute), "questions": counted(silent)}
    made = {name: value for name, value in plain(config).items() if name not in ("dataset", "out")}
    return Items(tuple(said), tuple(kept), left_out, made)


_COPY: Final = "a near copy of the tile is held out"
QUESTION_ORDER: Final = {kind: number for number, kind in enumerate(QuestionType)}


def _of_set(data: Dataset) -> tuple[tuple[str, ...], bool]:
    """The categories that are looked for, and whether types are named."""
    if data.truth():
        return TARGET_CATEGORIES, True
    rows = data.annotations()
    names = {category_of(str(name)) for name in rows["category"].unique()}
    categories = tuple(sorted(name for name in names if not untyped(name)))
    return categories, not all(untyped(str(name)) for name in rows["type"].unique())


def labelled(facts: LabelFacts, categories: tuple[str, ...], typed: bool) -> ImageLabels:
    """What the labels of one tile say, as :func:`knowlip.language.clear.clear_facts` takes it.

    Args:
        facts: of the tile.
        categories, typed: of the data set, as in :class:`~knowlip.language.clear.ImageLabels`.
    """
    spots = tuple(
        Spot(
            target.category,
            "" if untyped(target.type) else target.type,
            target.x,
            target.y,
            target.difficult,
            target.whole,
            target.outside,
        )
        for target in facts.targets
    )
    # What has a class and no landform is as open as what has no class: shares are of the rest.
    none = facts.grid_unlabelled or (0.0,) * len(facts.grid)
    open_ = tuple(open_share(cell, share, facts.known) for cell, share in zip(facts.grid, none))
    grid = tuple(_of_rest(_forms(cell), share, now) for cell, share, now in zip(facts.grid, none, open_))
    forms = _of_rest(facts.forms if facts.shares else {}, facts.unlabelled, facts.open_share)
    return ImageLabels(spots, categories, typed, forms, grid, facts.open_share, open_, facts.labelled)


def _of_rest(forms: Mapping[str, float], before: float, now: float) -> dict[str, float]:
    """Shares of what was not open before as shares of what is not open now; {} where nothing is left."""
    if now == before:
        return dict(forms)
    return {name: share * (1 - before) / (1 - now) for name, share in forms.items()} if any(forms.values()) else {}


def _forms(shares: Mapping[str, float]) -> dict[str, float]:
    """Landforms of a region and classes beyond them; {} where nothing of it is labelled."""
    if not any(shares.values()):
        return {}
    forms = landform_shares(shares)
    return forms | {name: share for name, share in shares.items() if name not in _COVERS}


def _copied(data: Dataset, split: Mapping[str, str], cache: Path | None) -> frozenset[str]:
    """Training tiles that show the same as a tile that is held out."""
    if len({*split.values()}) < 2:
        return frozenset()
    tile_ids = sorted(split)
    groups = tile_groups(data, tile_ids, cache)
    held = {int(group) for tile, group in zip(tile_ids, groups) if split[tile] != "train"}
    return frozenset(tile for tile, group in zip(tile_ids, groups) if split[tile] == "train" and int(group) in held)


def _asked(tile_id: str, known: Facts, config: MakeConfig, source: str) -> Iterable[Question]:
    """The questions about one tile, each in one wording."""
    possible = list(tile_askables(tile_id, known))
    regional = [one for one in possible if one.type is QuestionType.REGIONAL_LANDFORM]
    drawn = sorted(regional, key=lambda one: _hash(config.seed, tile_id, "region", one.subject))[: config.regions]
    for one in possible:
        if one.type is QuestionType.REGIONAL_LANDFORM and one not in drawn:
            continue
        for form in _forms_of(one, config.positions):
            wordings = form.wordings
            words = wordings[_hash(config.seed, tile_id, form.type, form.subject) % len(wordings)]
            yield Question(tile_id, form.type, words, form.answer, form.subject, source)


def _forms_of(one: Askable, positions: Positions) -> list[Askable]:
    numbered = one.by_number()
    if numbered is None or positions == "name":
        return [one]
    return [numbered] if positions == "number" else [one, numbered]


def _hash(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big")


def _evened(asked: Sequence[Question], config: MakeConfig) -> tuple[list[Question], list[str]]:
    """What is kept of a split, and why the rest is not: empty tiles first, then frequent answers, then frequent
    types."""
    zero = [one for one in asked if one.type is QuestionType.COUNT and one.answer == "0"]
    others = Counter(one.answer for one in asked if one.type is QuestionType.COUNT and one.answer != "0")
    gone = _over(zero, max(others.values(), default=0), config.seed)
    dropped = ["count: 0 would be asked for more often than any other number"] * len(gone)
    kept = [one for one in asked if one not in gone]
    for told, key in (("answer", lambda one: (one.type, one.answer)), ("type", lambda one: (one.type, ""))):
        groups: dict[tuple[Any, str], list[Question]] = {}
        for one in kept:
            groups.setdefault(key(one), []).append(one)
        gone = set()
        for (kind, _), members in groups.items():
            # Answers are measured by the median answer of their type, types by the median type.
            sizes = [len(rest) for (other, _), rest in groups.items() if other == kind or told == "type"]
            limit = float(np.median(sizes))
            if len(members) > limit:
                gone |= _over(members, round(limit * (len(members) / limit) ** (1 - config.balance)), config.seed)
        dropped += [f"{one.type}: its {told} is frequent (balance)" for one in kept if one in gone]
        kept = [one for one in kept if one not in gone]
    return kept, dropped


def _over(members: Sequence[Question], number: int, seed: int) -> set[Question]:
    """Those that are too many, drawn by chance."""
    return {*sorted(members, key=lambda one: _hash(seed, "kept", one.tile_id, one.question))[number:]}


def show(result: Made) -> str:
    """The result for people."""
    lines = [f"{result['items']}: {result['captions']:,} captions"]
    for split, numbers in result["questions"].items():
        told = ", ".join(f"{kind.replace('_', ' ')} {number:,}" for kind, number in numbers.items())
        lines.append(f"{split}: questions of {told}")
    for what, reasons in result["left_out"].items():
        lines += [f"no {what}, {why}: {number:,}" for why, number in reasons.items()]
    return "\n".join([*lines, result["page"]])
