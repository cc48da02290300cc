"""`knowlip dataset audit`: what numbers on a data set are worth, before any model is measured on it.

Near copies, labels that contradict each other among them, copies on both sides of a split, and the floors of
classification, detection, segmentation and questions, as the labels allow: on the set's own split, at random 4:1
(classification), and with copies apart.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from knowlip.base.files import check_replaceable, whole_folder, write_json
from knowlip.base.progress import track
from knowlip.base.rows import Json, Results, Row, highest_floor
from knowlip.benchmark.audit_places import Places, detection_floors, segmentation_floors
from knowlip.benchmark.audit_questions import METRIC, question_floors
from knowlip.benchmark.settings import DatasetAuditConfig
from knowlip.dataset import Dataset
from knowlip.dataset.near_duplicates import CORRELATION, NearDuplicateFinder
from knowlip.tasks.class_floors import Chips, answers
from knowlip.tasks.labelled import tile_classes
from knowlip.tasks.metrics import Estimate, proportion
from knowlip.tasks.protocols import (
    BOTH_SIDES,
    OWN,
    PROTOCOL_NAMES,
    RANDOM,
    Protocol,
    Split,
    joined,
    own_split,
    parts,
    why_not,
)

ROWS: Final = "dataset-audit.json"
"""File in `out` with rows and facts."""
PAGE: Final = "dataset-audit.html"
"""File in `out` for people."""
_METRICS: Final = {"classify": "top-1", "detection": "AP50", "segmentation": "mIoU"}
_SHOWN: Final = 12


class Pair(NamedTuple):
    """Two tiles that show the same."""

    one: int
    other: int
    correlation: float


def dataset_audit(config: DatasetAuditConfig) -> dict[str, Any]:
    """Audit a data set.

    Returns:
        `tiles`, `groups` (of near copies: images, largest, share with a copy, conflicts of labels, across splits),
        `classes` (tiles of each), `floors` (protocol -> floor -> top-1 with interval), `detection` and `segmentation`
        (the same with AP50 and mIoU), `questions` (protocol -> type -> floor -> accuracy) and where their answers are
        from, `reasons` (why something was not measured), `rows`, and with `out` the page.

    Raises:
        ValueError: no data set, no accepted tile, or `out` holds something other than an older audit.
    """
    data = Dataset(config.dataset)
    tiles = data.tiles()
    if tiles.empty:
        raise ValueError(f"{config.dataset} has no accepted tile to audit.")
    if config.out is not None:
        check_replaceable(config.out, ROWS, (PAGE,))
    tile_ids = tiles["tile_id"].to_list()
    finder, sizes = NearDuplicateFinder(), []
    for pixels in track(data.images(tile_ids), "look at tiles", total=len(tile_ids)):
        finder.add(pixels)
        sizes.append((pixels.shape[1], pixels.shape[0]))
    groups = finder.groups()
    # What tasks keep on one side: a model may know a place, or the rest of an image, as well as a copy.
    apart = joined(groups, tiles["root_id"].to_numpy(str), tiles["block"].to_numpy(str))
    # Tiles without one class count among copies, but nobody can be asked for their class.
    known_classes = tile_classes(data, "category")
    classes = np.array([known_classes.get(tile_id, "") for tile_id in tile_ids], dtype=object)
    splits = tiles["split"].to_numpy(str)
    facts: dict[str, Any] = {
        "dataset": str(config.dataset),
        "tiles": len(tile_ids),
        "groups": _copies(tile_ids, groups, classes, splits),
        "held_out": sorted({*splits} - {"train"}),
        "kept_together": {"groups": int(apart.max()) + 1, "largest": int(np.bincount(apart).max())},
        "classes": dict(sorted(Counter(name for name in classes if name).items())),
        "without_one_class": int((classes == "").sum()),
        "floors": {},
    }
    known = np.flatnonzero(classes != "")
    chips = Chips(finder.thumbnails()[known], np.array(sizes)[known], classes[known], apart[known])
    rows, facts["reasons"] = _floors(facts, chips, splits[known], config)
    places = Places(data, tile_ids, apart, splits, config.seed)
    for task, measure in (("detection", detection_floors), ("segmentation", segmentation_floors)):
        found = measure(places)
        facts[task] = {protocol: _plain(floors) for protocol, floors in found.items()}
        rows += [row for protocol, floors in found.items() for row in _rows(config, protocol, task, floors)]
        facts["reasons"] |= places.reasons(task, found)
    asked, facts["questions_from"] = question_floors(places, config.seed)
    facts["questions"] = {
        protocol: {kind: _plain(floors) for kind, floors in kinds.items()} for protocol, kinds in asked.items()
    }
    for protocol, kinds in asked.items():
        for kind, floors in kinds.items():
            rows += _rows(config, protocol, "vqa", floors, f"{kind} {METRIC}")
    if not asked:
        facts["reasons"]["questions"] = "neither truth, texts nor boxes of ships or aircraft tell answers."
    facts["rows"] = [row.name for row in rows]
    if config.out is not None:
        worst = _worst(finder, groups, classes, splits)
        _write(config, data, tile_ids, facts, rows, worst, classes, splits)
        facts["out"] = str(config.out)
    return facts


def show(found: dict[str, Any]) -> str:
    """The audit for people."""
    # Copies are what the first lines are about; what floors keep on one side is more, and stands apart from them.
    copies, together = found["groups"], found["kept_together"]
    lines = [
        f"{found['dataset']}: {found['tiles']:,} tiles, {copies['number']:,} groups of images that show the same "
        f"(the largest holds {copies['largest']}); {copies['with_a_copy']:.1%} of the tiles have a copy",
        f"copies across splits: {copies['across_splits']['tiles']:,} tiles in {copies['across_splits']['groups']:,} "
        f"groups; {copies['held_out_with_a_copy_in_train']:,} tiles of val and test have a copy in train",
        f"labels that contradict each other within a group: {copies['conflicts']['tiles']:,} tiles in "
        f"{copies['conflicts']['groups']:,} groups",
        f"kept on one side with copies apart (copies, parts of one image, one place): {together['groups']:,} groups, "
        f"the largest holds {together['largest']}",
    ]
    for protocol, floors in found["floors"].items():
        cells = [f"{name} {value['top1']:.1%}" for name, value in floors.items()]
        lines.append(f"top-1 without a model, {protocol}: " + ", ".join(cells))
    for task in ("detection", "segmentation"):
        for protocol, floors in found[task].items():
            cells = [f"{name} {one['value']:.1%}" for name, one in floors.items()]
            lines.append(f"{_METRICS[task]} without a model, {protocol}: " + ", ".join(cells))
    for protocol, kinds in found["questions"].items():
        for kind, floors in kinds.items():
            cells = [f"{name} {one['value']:.1%}" for name, one in floors.items()]
            lines.append(f"{kind} questions without an image, {protocol}: " + ", ".join(cells))
    lines += [f"{name}: not measured: {reason}" for name, reason in found["reasons"].items()]
    if "out" in found:
        lines.append(f"{found['out']}/{PAGE}")
    return "\n".join(lines)


def _copies(tile_ids: list[str], groups: np.ndarray, classes: np.ndarray, splits: np.ndarray) -> dict[str, Any]:
    """What is found about near copies, in numbers and by name."""
    members: dict[int, list[int]] = {}
    for at, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(at)
    several = [rows for rows in members.values() if len(rows) > 1]
    across = [rows for rows in several if len({splits[row] for row in rows}) > 1]
    conflicts = [rows for rows in several if len({classes[row] for row in rows} - {""}) > 1]
    # Of what is held out, that which training could have learned by heart.
    leaked = sum(
        sum(splits[row] != "train" for row in rows) for rows in across if any(splits[row] == "train" for row in rows)
    )

    def told(found: list[list[int]]) -> dict[str, Any]:
        first = sorted(found, key=len, reverse=True)[:_SHOWN]
        return {
            "groups": len(found),
            "tiles": sum(map(len, found)),
            "first": [[tile_ids[row] for row in rows[:_SHOWN]] for rows in first],
        }

    return {
        "correlation": CORRELATION,
        "number": len(members),
        "largest": max(map(len, members.values())),
        "with_a_copy": sum(map(len, several)) / len(tile_ids),
        "across_splits": told(across),
        "held_out_with_a_copy_in_train": leaked,
        "conflicts": told(conflicts),
    }


def _floors(
    facts: dict[str, Any], chips: Chips, splits: np.ndarray, config: DatasetAuditConfig
) -> tuple[list[Row], dict[str, str]]:
    """Floors by protocol, as rows and in `facts`; and why a protocol was not measured."""
    protocols, reasons = _protocols(chips, splits, config.seed)
    rows = []
    for protocol, found in protocols.items():
        asked, right = answers(chips, found)
        clusters = chips.groups[asked].astype(str)  # copies are not independent trials
        estimates = {name: proportion(hit, clusters) for name, hit in right.items()}
        facts["floors"][protocol] = {
            name: {"top1": one.value, "ci": one.ends, "n": one.n, "note": one.note} for name, one in estimates.items()
        }
        rows += _rows(config, protocol, "classify", estimates)
    return rows, reasons


def _plain(floors: Mapping[str, Estimate]) -> dict[str, Json]:
    return {name: {"value": one.value, "ci": one.ends, "n": one.n, "note": one.note} for name, one in floors.items()}


def _rows(
    config: DatasetAuditConfig, protocol: str, task: str, floors: Mapping[str, Estimate], metric: str = ""
) -> list[Row]:
    """A row for each floor, beside the highest of them."""
    highest, name = highest_floor({guess: one.value for guess, one in floors.items()})
    data, note = config.dataset.resolve().name, BOTH_SIDES if protocol == RANDOM else ""
    return [
        Row(
            data,
            protocol,
            task,
            f"floor:{guess}",
            metric or _METRICS[task],
            one.value,
            one.ci,
            one.n,
            highest,
            name,
            f"{note} {one.note}".strip(),
        )
        for guess, one in floors.items()
    ]


def _protocols(chips: Chips, splits: np.ndarray, seed: int) -> tuple[dict[str, list[Split]], dict[str, str]]:
    """Ways of asking, and why others are not possible."""
    count = Counter(chips.classes.tolist())
    if len(count) < 2:
        return {}, {"classification": f"the tiles with one class have {len(count)} of them."}
    found: dict[str, list[Split]] = {}
    reasons = {}
    learn, ask = own_split(splits)
    if len(ask) and len({*chips.classes[learn].tolist()}) > 1:
        found[OWN] = [(learn, ask)]
    else:
        reasons[OWN] = "train has fewer than two classes, or nothing is held out."
    others: tuple[Protocol, ...] = ("random", "groups")
    for protocol in others:
        name = PROTOCOL_NAMES[protocol]
        if reason := why_not(protocol, chips.classes, chips.groups):
            reasons[name] = reason
        else:
            found[name] = list(parts(protocol, chips.classes, chips.groups, seed=seed))
    return found, reasons


def _worst(finder: NearDuplicateFinder, groups: np.ndarray, classes: np.ndarray, splits: np.ndarray) -> list[Pair]:
    """Pairs to show: of other classes first, then of two splits, the most alike first."""
    size = np.bincount(groups)
    mixed = [
        group
        for group in np.flatnonzero(size > 1).tolist()
        if len({*classes[groups == group].tolist()}) > 1 or len({*splits[groups == group].tolist()}) > 1
    ]
    found = []
    for group in mixed[: 4 * _SHOWN]:
        rows = np.flatnonzero(groups == group)[: 4 * _SHOWN].tolist()
        pairs = [Pair(*pair) for pair in finder.pairs(rows, rows) if pair[0] < pair[1]]
        pairs = [one for one in pairs if classes[one.one] != classes[one.other] or splits[one.one] != splits[one.other]]
        if pairs:
            found.append(max(pairs, key=lambda one: (classes[one.one] != classes[one.other], one.correlation)))
    found.sort(key=lambda one: (classes[one.one] == classes[one.other], -one.correlation))
    return found[:_SHOWN]


def _write(
    config: DatasetAuditConfig,
    data: Dataset,
    tile_ids: list[str],
    facts: dict[str, Any],
    rows: list[Row],
    worst: list[Pair],
    classes: np.ndarray,
    splits: np.ndarray,
) -> None:
    """The folder `out`, whole or not at all."""
    from knowlip.pages.render import picture_uri, render

    assert config.out is not None

    def shown(at: int) -> dict[str, str]:
        name = tile_ids[at]
        picture = picture_uri(data.image(name), 160, 85)
        return {"picture": picture, "tile_id": name, "class": str(classes[at]), "split": str(splits[at])}

    pairs = [{"tiles": [shown(one.one), shown(one.other)], "correlation": one.correlation} for one in worst]
    title = config.dataset.resolve().name
    with whole_folder(config.out) as folder:
        setup: dict[str, Json] = {"dataset_fingerprint": data.fingerprint, "tiles": len(tile_ids), "seed": config.seed}
        kept = {name: value for name, value in facts.items() if name not in ("rows", "dataset")}
        write_json(folder / ROWS, Results(tuple(rows), {"audit": kept}, setup).plain())
        page = render("dataset_audit.html", title=f"Audit of {title}", facts=facts, pairs=pairs, rows=rows)
        (folder / PAGE).write_text(page)
