"""How often `knowlip text check` finds fault with texts that are true, and what template texts from labels reach.

    python -m benchmarks.text_check DATASET [--out benchmarks/results/text_check.json]

DATASET has truth and texts of the measured annotator. A finding is a false alarm where every sub-text that it is about
is judged true (`knowlip/language/truth.py`); repetitions are counted by themselves, they are no claim about truth. The
same rules go over template texts written from the truth of the same tiles. Findings are put beside the judge's word on
the same sub-text. What the rules miss: one sub-text of every tile's template texts is replaced by another tile's.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import record
from knowlip.annotators.check.report import Checker
from knowlip.annotators.check.rules import place_names, place_pattern
from knowlip.annotators.check.tile import Sentence, TileTexts, read_tiles
from knowlip.annotators.labels import LabelsAnnotator
from knowlip.dataset import Dataset
from knowlip.dataset.mentions import Mention
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.phrases import UNKNOWN
from knowlip.language.truth import judge
from knowlip.tasks.metrics.intervals import wilson

REPEATED = ("duplicate-tile", "duplicate-sentence")


def share(hits: int, trials: int) -> dict[str, Any]:
    """Share with its 95 % Wilson interval."""
    if not trials:
        return {"of": 0}
    return {"of": trials, "share": round(hits / trials, 4), "interval": [round(end, 4) for end in wilson(hits, trials)]}


def from_labels(dataset: Dataset, tiles: Iterable[TileTexts]) -> list[TileTexts]:
    """The same tiles with template texts."""
    annotator, written = LabelsAnnotator(dataset), []
    for tile in tiles:
        note = annotator.annotate_tile(tile.tile_id)
        sentences = tuple(Sentence(slot, sub.dimension, sub.text) for slot, sub in enumerate(note.sub_texts, 1))
        mention = Mention(tile.tile_id, "labels", note.counts, note.boxes)
        written.append(TileTexts(tile.tile_id, note.instruction_set, sentences, tile.row, mention, tile.labels))
    return written


def alarms(dataset: Dataset, tiles: list[TileTexts]) -> dict[str, Any]:
    """Findings beside verdicts."""
    truths = dataset.truth()
    places = place_pattern(place_names(dataset.tiles().to_dict("records")))
    checker = Checker(places, lambda text: len(text.split()), 77)
    found, false, by_judge = Counter[str](), Counter[str](), Counter[tuple[str, bool | None]]()
    dimensions: dict[str, list[bool]] = defaultdict(list)
    alarmed = all_true = all_true_alarmed = unknown = 0
    for tile in tiles:
        verdicts = {
            one.dimension: judge(
                tile.instruction_set, one.dimension, one.text, truths[tile.tile_id], tile.number("window_m")
            )
            for one in tile.sentences
        }
        for dimension, verdict in verdicts.items():
            if verdict is not None:
                dimensions[f"{tile.instruction_set} {dimension}"].append(verdict)
        unknown += sum(one.text == UNKNOWN for one in tile.sentences)
        findings = list(checker.findings(tile))
        wrong = False
        for finding in findings:
            found[finding.rule] += 1
            if finding.rule in REPEATED:
                continue
            about = [verdicts[name] for name in (finding.dimension, finding.against) if name in verdicts]
            by_judge[finding.rule, verdicts.get(finding.dimension)] += 1
            if all(verdict is True for verdict in about):
                false[finding.rule] += 1
                wrong = True
        alarmed += wrong
        if all(verdict is not False for verdict in verdicts.values()):
            all_true += 1
            all_true_alarmed += any(finding.rule not in REPEATED for finding in findings)
    true = [verdict for values in dimensions.values() for verdict in values]
    return {
        "tiles": len(tiles),
        "unknown_texts": unknown,
        "true_sub_texts": share(sum(true), len(true)),
        "true_by_dimension": {
            f"{kind} {dimension}": [round(float(np.mean(values)), 4), len(values)]
            for kind, names in DIMENSIONS.items()
            for dimension in names
            if (values := dimensions[f"{kind} {dimension}"])
        },
        "findings": dict(sorted(found.items())),
        "false_alarms": dict(sorted(false.items())),
        "tiles_with_false_alarm": share(alarmed, len(tiles)),
        "tiles_all_true_with_finding": share(all_true_alarmed, all_true),
        "findings_by_verdict": {
            rule: {str(verdict): by_judge[rule, verdict] for verdict in (True, False, None)}
            for rule in sorted({rule for rule, _ in by_judge})
        },
    }


def foreign(dataset: Dataset, tiles: list[TileTexts]) -> dict[str, Any]:
    """What the rules find when one sub-text of every tile is that of another tile of the same set and judged false."""
    rng, truths = np.random.default_rng(0), dataset.truth()
    checker = Checker(None, lambda text: len(text.split()), 77)
    hits: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for kind, names in DIMENSIONS.items():
        ours = [tile for tile in tiles if tile.instruction_set == kind]
        for tile, donor in zip(ours, rng.permutation(len(ours))):
            dimension = names[int(rng.integers(len(names)))]
            given = ours[donor].sentence(dimension)
            window = tile.number("window_m")
            if given is None or judge(kind, dimension, given.text, truths[tile.tile_id], window) is not False:
                continue
            changed = tuple(given if one.dimension == dimension else one for one in tile.sentences)
            for labels in (None, tile.labels):
                mixed = TileTexts(tile.tile_id, kind, changed, tile.row, None, labels)
                found = [f for f in checker.findings(mixed) if f.rule not in REPEATED]
                hit = any(dimension in (finding.dimension, finding.against) for finding in found)
                if labels is None:
                    alone = hit
            hits[dimension].append((alone, hit))
            hits["all"].append((alone, hit))
    return {
        dimension: {
            "texts_alone": share(sum(alone for alone, _ in values), len(values)),
            "with_labels": share(sum(hit for _, hit in values), len(values)),
        }
        for dimension, values in sorted(hits.items())
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/text_check.json"))
    arguments = parser.parse_args()
    dataset = Dataset(arguments.dataset)
    tiles = list(read_tiles(dataset))
    rules, labels = alarms(dataset, tiles), alarms(dataset, from_labels(dataset, tiles))
    planted = foreign(dataset, from_labels(dataset, tiles))
    result = {
        "interval": planted["all"]["with_labels"]["interval"],
        "baseline_interval": planted["all"]["texts_alone"]["interval"],
        "rules": rules,
        "labels": labels,
        "foreign_sub_texts_found": planted,
        "dataset_fingerprint": dataset.fingerprint,
    }
    unit = (
        "share of false sub-texts, put into tiles whose other texts are true, that the rules find with labels; "
        "baseline: that they find in the texts alone. False alarms: rules.tiles_all_true_with_finding"
    )
    found = planted["all"]["with_labels"]["share"]
    record(arguments.out, found, planted["all"]["texts_alone"]["share"], unit, result, "one process")
    print({name: (row["texts_alone"], row["with_labels"]) for name, row in result["foreign_sub_texts_found"].items()})
    for name, row in (("rules", rules), ("labels", labels)):
        print(name, row["true_sub_texts"], row["findings"], "false alarms", row["false_alarms"])
        print("  tiles all true with a finding", row["tiles_all_true_with_finding"], row["findings_by_verdict"])


if __name__ == "__main__":
    main()
