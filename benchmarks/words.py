"""How rich, how true and how sure the texts of a demo are, beside older texts and the paper's records.

    python -m benchmarks.words DEMO [--old OLD] [--truth DATASET] [--old-truth DATASET] [--data DATA]
        [--paper caption_part1.json] [--out benchmarks/results/words.json]

DEMO and OLD are folders of `knowlip demo` or data sets; texts are those that the annotator wrote (revision 0).
Truth: every visual sentence of a sub-text is judged against the truth of its tile (`knowlip.language.truth`), on
DATASET, places that nothing was fitted on, or on DEMO itself. Intervals (95 %) draw whole scenes, since tiles of a
scene are alike. Chance is the text of another tile of the same set. DATA, the folder of the real samples, adds SSDD
(ships counted and placed in real images) and the Sentinel-1 tiles marked by hand; PAPER the published records.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks import real_marks, ssdd_measured
from benchmarks.record import record
from knowlip.annotators.measured import MeasuredAnnotator
from knowlip.annotators.stats.corpus import TextCorpus, load
from knowlip.annotators.stats.lexical import HEDGES, words
from knowlip.annotators.stats.measure import measure
from knowlip.annotators.stats.projection import image_features, neighbours_shared, text_features
from knowlip.dataset import Dataset
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.marks import sentences_of
from knowlip.language.truth import judge
from knowlip.tasks.metrics.intervals import proportion

POINTS = 1500
"""Tiles whose neighbours are compared, as `knowlip text stats` does it."""
_HEDGES = frozenset(HEDGES)
_BINS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


class Judged(NamedTuple):
    """A sub-text and what became of it."""

    kind: str
    dimension: str
    tile: str
    scene: str
    text: str
    """Its visual sentences."""
    confidence: float
    hedged: bool
    unsaid: bool
    """Whether it says instead that the resolution does not show it."""
    true: bool | None
    """None where it claims nothing that truth knows."""


def dataset_of(folder: Path) -> Path:
    """The data set of a demo, or the folder itself."""
    return folder / "dataset" if (folder / "dataset").is_dir() else folder


def richness(corpus: TextCorpus) -> dict[str, Any]:
    """Diversity, length and repetition of captions."""
    numbers = measure(corpus, None, 256, 0)
    return {
        "mtld": numbers["mtld"],
        "mtld_shuffled": numbers["mtld_shuffled"],
        "vocabulary": numbers["vocabulary"],
        "words": numbers["length"]["words"]["mean"],
        "words_p5_p95": [numbers["length"]["words"][name] for name in ("p5", "p95")],
        "duplicate_captions": numbers["duplicates"]["captions"],
        "duplicate_subtexts": numbers["duplicates"]["sub_texts"],
        "hedged_subtexts": numbers["hedging"]["sub_texts"],
        "captions": numbers["captions"],
        **{name: numbers[name] for name in ("by_evidence", "by_layer") if name in numbers},
    }


def visual_part(row: dict[str, Any]) -> tuple[str, bool]:
    """The visual sentences of a sub-text, and whether its first one says what the resolution does not show."""
    if not row["marks"]:  # one sentence, to which older texts add a place with a comma
        return row["text"], False
    sentences = sentences_of(row["text"], row["marks"], row["evidence"])
    topic = sentences[0].topic if sentences else ""
    unsaid = topic.startswith("limit-") or topic.endswith("-unresolved")
    return ". ".join(one.text for one in sentences if one.evidence == "visual"), unsaid


def judged(dataset: Dataset) -> list[Judged]:
    """All sub-texts of revision 0 on tiles with truth."""
    truths, tiles = dataset.truth(), dataset.tiles()
    windows, scenes = (dict(zip(tiles["tile_id"], tiles[name])) for name in ("window_m", "scene_id"))
    found = []
    for row in dataset.texts(0).to_dict("records"):
        tile = row["tile_id"]
        if tile not in truths or tile not in windows:
            continue
        text, unsaid = visual_part({str(key): value for key, value in row.items()})
        kind, dimension = row["instruction_set"], row["dimension"]
        true = judge(kind, dimension, text, truths[tile], float(windows[tile])) if text else None
        hedged = not _HEDGES.isdisjoint(words(text))
        sure = float(row["confidence"])
        found.append(Judged(kind, dimension, tile, str(scenes[tile]), text, sure, hedged, unsaid, true))
    return found


def swapped(found: list[Judged], dataset: Dataset) -> dict[tuple[str, str], list[bool]]:
    """(set, dimension) -> verdicts when each tile has the text of another tile of its set."""
    truths, windows = dataset.truth(), dataset.tiles().set_index("tile_id")["window_m"]
    rng, verdicts = np.random.default_rng(0), defaultdict(list)
    for kind in DIMENSIONS:
        tiles = sorted({one.tile for one in found if one.kind == kind})
        donor = dict(zip(tiles, (tiles[at] for at in np.roll(rng.permutation(len(tiles)), 1)), strict=True))
        text = {(one.tile, one.dimension): one.text for one in found if one.kind == kind}
        for tile in tiles:
            for dimension in DIMENSIONS[kind]:
                words_of = text.get((donor[tile], dimension), "")
                true = judge(kind, dimension, words_of, truths[tile], float(windows[tile])) if words_of else None
                if true is not None:
                    verdicts[kind, dimension].append(true)
    return verdicts


def share(found: list[Judged], chance: list[bool] | None = None) -> dict[str, Any]:
    """{true, ci, n, chance} over what could be judged; {} without any."""
    known = [one for one in found if one.true is not None]
    if not known:
        return {}
    estimate = proportion([bool(one.true) for one in known], [one.scene for one in known])
    ci = None if estimate.ci is None else [round(end, 3) for end in estimate.ci]
    row = {"true": round(estimate.value, 3), "ci": ci, "n": estimate.n}
    return row | ({"chance": round(float(np.mean(chance)), 3)} if chance else {})


def truth_of(dataset: Dataset) -> dict[str, Any]:
    """Truth by set and dimension, of sure and of hedged texts, and how far confidence says how often they are true."""
    found = judged(dataset)
    chance = swapped(found, dataset)
    sets: dict[str, Any] = {}
    for kind, dimensions in DIMENSIONS.items():
        of_kind = [one for one in found if one.kind == kind]
        sets[kind] = {
            dimension: share([one for one in of_kind if one.dimension == dimension], chance[kind, dimension])
            for dimension in dimensions
        }
        together = [verdict for dimension in dimensions for verdict in chance[kind, dimension]]
        sets[kind]["overall"] = share(of_kind, together)
    known = [one for one in found if one.true is not None]
    plain, hedged = ([one for one in known if one.hedged is doubt] for doubt in (False, True))
    every = [verdict for values in chance.values() for verdict in values]
    return {
        "truth": {**sets, "overall": share(found, every)},
        "certainty": {
            "plain": share(plain),
            "hedged": share(hedged),
            "share_hedged": round(len(hedged) / max(1, len(known)), 3),
            "share_left_out": round(float(np.mean([one.unsaid for one in found])), 3),
            "wrong_and_plain": round(sum(not one.true for one in plain) / max(1, len(known)), 3),
            "wrong_and_hedged": round(sum(not one.true for one in hedged) / max(1, len(known)), 3),
        },
        "calibration": calibration(known),
        "judged_on": {"tiles": len({one.tile for one in found}), "scenes": len({one.scene for one in found})},
    }


def calibration(known: list[Judged]) -> dict[str, Any]:
    """Bins of stated confidence beside the share that is true, and the mean gap between both."""
    bins, gap = {}, 0.0
    for low, high in zip(_BINS, (*_BINS[1:], 1.01), strict=True):
        here = [one for one in known if low <= one.confidence < high]
        if here:
            said = float(np.mean([one.confidence for one in here]))
            bins[f"{low:g}"] = {"confidence": round(said, 3), **share(here)}
            gap += abs(said - float(np.mean([bool(one.true) for one in here]))) * len(here) / len(known)
    return {"bins": bins, "expected_calibration_error": round(gap, 3)}


def neighbours(corpus: TextCorpus) -> dict[str, Any]:
    """Tiles near by image that are near by text: mean share of the ten nearest, and what chance gives."""
    assert corpus.data is not None
    captions = corpus.captions()
    names = sorted(captions)
    if len(names) > POINTS:
        names = sorted(np.random.default_rng(0).choice(names, POINTS, replace=False))
    tiles: pd.DataFrame = corpus.data.tiles().set_index("tile_id").loc[names]
    image, _ = image_features(tiles)
    text = text_features([captions[name] for name in names], 0)
    chance = round(10 / (len(names) - 1), 4)
    return {"shared": round(neighbours_shared(image, text, 0), 4), "chance": chance, "tiles": len(names)}


def of_demo(folder: Path, truth: Path | None) -> dict[str, Any]:
    """All that the texts of a demo are measured by."""
    corpus = load(str(dataset_of(folder)), 0)
    judged_on = Dataset(dataset_of(truth) if truth is not None else dataset_of(folder))
    return {"richness": richness(corpus), **truth_of(judged_on), "neighbours": neighbours(corpus)}


def of_real_images(data: Path, limit: int) -> dict[str, Any]:
    """SSDD and the tiles that were marked by hand; {} for what is not there."""
    result: dict[str, Any] = {}
    if (data / "ssdd").is_dir():
        run = ssdd_measured.measure(data / "ssdd", 3.0, limit)
        kept = ("count", "count_baseline", "location", "location_baseline", "images")
        result["ssdd"] = {name: run[name] for name in kept}
    if all((data / name).is_dir() for name in real_marks.FOLDERS):
        with tempfile.TemporaryDirectory() as folder:
            dataset = real_marks.built(data, Path(folder) / "marked")
            result["real_10m"] = real_marks.judged(real_marks.annotated(dataset, MeasuredAnnotator().annotate))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--old", type=Path, help="demo with older texts")
    parser.add_argument("--truth", type=Path, help="data set with texts and truth that DEMO's texts are judged by")
    parser.add_argument("--old-truth", type=Path, help="the same with the older texts")
    parser.add_argument("--data", type=Path, help="folder of the real samples")
    parser.add_argument("--ssdd-limit", type=int, default=10**6)
    parser.add_argument("--paper", type=Path, help="by default paper-captions/caption_part1.json of --data")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/words.json"))
    options = parser.parse_args()
    result = of_demo(options.demo, options.truth)
    paper = options.paper or (options.data and options.data / "paper-captions" / "caption_part1.json")
    if paper and paper.exists():
        result["paper"] = richness(load(f"paper={paper}"))
    if options.data:
        result |= of_real_images(options.data, options.ssdd_limit)
    if options.old:
        result["old"] = of_demo(options.old, options.old_truth)
    value = result["truth"]["overall"]
    before = result["old"]["truth"]["overall"]["true"] if options.old else value["chance"]
    said = "the older texts" if options.old else "texts of another tile of the set"
    unit = f"share of visual sub-texts that are true; baseline: {said}"
    rest = {**result, "command": "python -m benchmarks.words DEMO [--old OLD] [--truth DATASET] [--data DATA]"}
    record(options.out, value["true"], before, unit, rest, "one process")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
