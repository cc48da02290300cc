"""`knowlip text check`: what is wrong with the texts of a data set by rules that need no reader; nothing is changed."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from knowlip.annotators.check.rules import (
    against_labels,
    contradictions,
    named_place,
    place_names,
    place_pattern,
    shows_something,
    wording,
)
from knowlip.annotators.check.tile import Finding, TileTexts, read_tiles
from knowlip.annotators.tokens import TokenizerFile
from knowlip.base.files import write_json
from knowlip.dataset import Dataset
from knowlip.language.phrases import UNKNOWN

RULES: Final[dict[str, str]] = {
    "count-distribution": "the number does not fit the arrangement",
    "count-category": "the number does not fit the types or the size",
    "count-location": "nothing counted, yet located",
    "direction-conflict": "two sub-texts, or one, put the same thing in places that exclude each other",
    "water-environment": "open water with a small share of water",
    "water-share": "the share of water does not fit the main terrain",
    "no-water": "no water, and water named elsewhere",
    "no-buildings": "no buildings, and built-up land named elsewhere",
    "shares-over-100": "shares of more than everything",
    "count-mention": "the number in words is not the annotator's number",
    "count-boxes": "the annotator drew more boxes than it counted",
    "count-labels": "the number does not fit the labels (beyond three objects: by more than 25 %)",
    "direction-boxes": "most of the annotator's boxes lie elsewhere",
    "direction-labels": "most labelled objects lie elsewhere",
    "size-window": "longer than the tile's diagonal",
    "size-resolution": "shorter than a pixel of the sensor or the tile",
    "size-category": "no ship or aircraft is so long or so short",
    "size-type": "the named type is not of this length (30 % allowed)",
    "place-only": "names a place and nothing of the image",
    "place-as-seen": "a sentence that is marked as seen in the image names a place",
    "missing": "a sub-text of the instruction set is not there",
    "empty": "no word",
    "duplicate-sentence": "the same words in two sub-texts of a tile",
    "duplicate-tile": "all texts are those of another tile",
    "cut-off": "ends in the middle of a sentence",
    "too-long": "longer than the limit",
    "caption-cut": "the eight together are longer than the limit; found where they pass it",
}
"""Rule -> what it finds."""


@dataclass(frozen=True)
class CheckConfig:
    """Which texts to check."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """Folder of an annotated data set."""
    revision: int | None = None
    """Text revision; the newest where not given."""
    out: Path | None = None
    """JSON file for all findings."""
    limit: int = 77
    """Longest sub-text that is read whole, in tokens of `tokenizer`, else in words; 0 for any."""
    caption_limit: int = 0
    """Longest caption of all eight, counted likewise; 0 for any."""
    tokenizer: Path | None = None
    """tokenizer.json of the model that will read the texts."""

    def __post_init__(self) -> None:
        if self.limit < 0 or self.caption_limit < 0:
            raise ValueError("limit and caption_limit must be 0 or more.")


def text_check(config: CheckConfig) -> dict[str, Any]:
    """Check the texts of a data set.

    Returns:
        `tiles` and `texts` (how many), `unknown` (texts that make no claim by a fixed phrase), `findings` (how many),
        `clean` (tiles without one), `rules` (rule -> `findings`, `tiles`, `share` of tiles, `what`), `places`
        (dimension -> `texts`, `named` and `only`: shares that name a place, and that name it without a sight), `list`
        (each finding: tile_id, slot, dimension, rule, sentence, detail, against).

    Raises:
        ValueError: no data set, no texts, no such revision, or a tokenizer that cannot be read.
    """
    # One pass, tile by tile: of all texts only what the repetitions need is kept.
    dataset = Dataset(config.dataset)
    names = place_pattern(place_names(dataset.tiles().to_dict("records")))
    checker = Checker(names, _length(config.tokenizer), config.limit, config.caption_limit)
    tiles = texts = unknown = 0
    places: dict[str, Counter[str]] = defaultdict(Counter)
    findings: list[Finding] = []
    for tile in read_tiles(dataset, config.revision):
        tiles += 1
        texts += len(tile.sentences)
        unknown += sum(one.text == UNKNOWN for one in tile.sentences)
        found = list(checker.findings(tile))
        findings += found
        only = {finding.dimension for finding in found if finding.rule == "place-only"}
        for one in tile.sentences:
            named = bool(named_place(one.text, names))
            places[one.dimension] += Counter(texts=1, named=int(named), only=int(one.dimension in only))
    result = {
        "dataset": str(config.dataset),
        "tiles": tiles,
        "texts": texts,
        "unknown": unknown,
        "findings": len(findings),
        "clean": tiles - len({finding.tile_id for finding in findings}),
        "rules": _totals(findings, tiles),
        "places": {
            dimension: {"texts": count["texts"], **{key: count[key] / count["texts"] for key in ("named", "only")}}
            for dimension, count in places.items()
        },
        "list": [asdict(finding) for finding in findings],
    }
    if config.out is not None:
        write_json(config.out, result)
    return result


class Checker:
    """Applies all rules tile by tile; remembers what it read to find texts of tiles that are the same."""

    def __init__(
        self, places: re.Pattern[str] | None, length: Callable[[str], int], limit: int = 0, caption_limit: int = 0
    ):
        self._places, self._length, self._limit, self._caption_limit = places, length, limit, caption_limit
        self._seen: dict[tuple[str, ...], str] = {}

    def findings(self, tile: TileTexts) -> Iterator[Finding]:
        """Everything that is wrong with a tile's texts."""
        yield from contradictions(tile)
        yield from against_labels(tile)
        yield from wording(tile, self._length, self._limit)
        for one in tile.sentences:
            place = named_place(one.seen, self._places)
            if place and not shows_something(tile, one.dimension, one.seen, place):
                yield tile.finding(one.dimension, "place-only", place)
            elif place and one.marks:
                yield tile.finding(one.dimension, "place-as-seen", place)
        yield from self._whole(tile)

    def _whole(self, tile: TileTexts) -> Iterator[Finding]:
        texts = tuple(one.text for one in tile.sentences)
        first = self._seen.setdefault(texts, tile.tile_id)
        if first != tile.tile_id and set(texts) != {UNKNOWN}:
            yield tile.finding(tile.sentences[0].dimension, "duplicate-tile", f"as {first}")
        total = 0
        for one in tile.sentences if self._caption_limit else ():
            total += self._length(one.text)
            if total > self._caption_limit:
                detail = f"{total} of at most {self._caption_limit} at its end"
                yield tile.finding(one.dimension, "caption-cut", detail)
                return


def _totals(findings: Iterable[Finding], tiles: int) -> dict[str, dict[str, Any]]:
    by_rule: dict[str, list[str]] = {rule: [] for rule in RULES}
    for finding in findings:
        by_rule[finding.rule].append(finding.tile_id)
    return {
        rule: {"findings": len(at), "tiles": len(set(at)), "share": len(set(at)) / tiles, "what": RULES[rule]}
        for rule, at in by_rule.items()
    }


def _length(tokenizer: Path | None) -> Callable[[str], int]:
    """Counts words, or tokens of a tokenizer file."""
    if tokenizer is None:
        return lambda text: len(text.split())
    reader = TokenizerFile(tokenizer)
    return lambda text: reader.count(text, special=True)


def show(result: dict[str, Any]) -> str:
    """Totals for people, with one example a rule."""
    lines = [
        f"{result['dataset']}: {result['tiles']} tiles, {result['texts']} texts ({result['unknown']} unknown), "
        f"{result['findings']} findings, {result['clean']} tiles without"
    ]
    first: dict[str, dict[str, Any]] = {}
    for finding in result["list"]:
        first.setdefault(finding["rule"], finding)
    for rule, total in result["rules"].items():
        if total["findings"]:
            one = first[rule]
            lines.append(f"  {rule:18} {total['findings']:6}  {total['share']:6.1%} of tiles  {total['what']}")
            lines.append(
                f"    {one['tile_id']} {one['slot']} {one['dimension']}: {one['sentence']!r} ({one['detail']})"
            )
    for dimension, place in sorted(result["places"].items()):
        if place["named"]:
            lines.append(f"  {dimension}: {place['named']:.1%} name a place, {place['only']:.1%} nothing else")
    return "\n".join(lines)
