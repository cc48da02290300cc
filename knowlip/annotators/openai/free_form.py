"""Read the free-text form of an answer with regular expressions, as the paper does.

"Terrain: The terrain is classified as plain; Functionality: ..." on one line or many, numbered, bold, quoted, as list,
table or JSON. A field begins at a label, a dimension's name or a synonym of it, and ends before the next label.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

from knowlip.annotators.types import Evidence
from knowlip.language.dimensions import DIMENSIONS, InstructionSet

UNSTATED_CONFIDENCE = 0.5
"""Confidence of a sub-text that states none."""
MAX_CONTENT = 20_000
"""Longest answer that is read, without what a model thinks aloud; twenty times what is asked for."""

_SYNONYMS: Final[dict[InstructionSet, dict[str, str]]] = {
    InstructionSet.MARINE: {
        "Count": "count, number, quantity, number of targets, target count, counts, amount",
        "Location": "location, position, locations, positions, target location, placement",
        "Feature": "feature, features, target features, target feature, sar features, scattering features, "
        "characteristics, appearance",
        "Size": "size, sizes, dimensions, target size, scale",
        "Category": "category, type, class, types, categories, target category, target type, classification",
        "Distribution": "distribution, arrangement, target distribution, spatial distribution, formation",
        "Region": "region, regions, area, region share, region proportion, surface",
        "Environment": "environment, surroundings, surrounding environment, context, setting, background",
    },
    InstructionSet.TERRAIN: {
        "Terrain": "terrain, terrain type, landform, terrain classification, land form, topography",
        "Functionality": "functionality, function, area functionality, land use, functions, functional area, "
        "area function",
        "Distribution": "distribution, location, functional distribution, locations, spatial distribution, "
        "distribution of functions",
        "Layout": "layout, spatial layout, arrangement, structure, spatial structure",
        "Boundary": "boundary, boundaries, boundary features, edges, borders, boundary feature",
        "Buildings": "buildings, building, building presence, built structures, presence of buildings",
        "Roads": "roads, road, road presence, transport, road network, roads and transport, presence of roads, "
        "transportation",
        "Water": "water, water presence, water bodies, water body, hydrology, presence of water",
    },
}
"""The set of targets, which ground shares, and that of terrain -> dimension -> the labels that mean it."""
_DIMENSION_OF: Final = {
    kind: {label: name for name, labels in fields.items() for label in labels.split(", ")}
    for kind, fields in _SYNONYMS.items()
}
_WORDS: Final = {
    InstructionSet.GROUND: re.compile(
        r"\b(aircrafts?|air ?planes?|air ?liners?|planes?|jets?|boeing|airbus|runways?|aprons?|taxiways?|hangars?|"
        r"terminals?|fuselages?|wings?|airports?|airfields?|helicopters?)\b",
        re.IGNORECASE,
    ),
    InstructionSet.MARINE: re.compile(
        r"\b(ships?|vessels?|boats?|tankers?|hulls?|quays?|berths?|piers?|docks?|harbou?rs?|ports?|sea|ocean|"
        r"anchor(?:ed|age)?|moored|carriers?|containers?|wakes?|offshore|coast\w*)\b",
        re.IGNORECASE,
    ),
}
_SET_LINE: Final = re.compile(r"\binstruction[ _]set\W{1,6}(ground|marine)\b", re.IGNORECASE)
_SHARE = r"(?:confidence\s*[:=]?\s*)?(?P<share{0}>[01](?:\.\d+)?|\.\d+|\d{{1,3}} ?%)"
_SOURCE = r"(?:evidence\s*[:=]?\s*)?(?P<by{0}>visual|geo|prior|parent)"
_STATED: Final = re.compile(
    rf"\s*[\[(]\s*(?:{_SHARE.format(1)}\s*[,;/|]\s*{_SOURCE.format(1)}|"
    rf"{_SOURCE.format(2)}\s*[,;/|]\s*{_SHARE.format(2)})\s*[\])]\s*\.?\s*$",
    re.IGNORECASE,
)
"""A confidence and an evidence in brackets at the end of a statement."""


@dataclass(frozen=True)
class FreeForm:
    """What was read of a free-text answer."""

    instruction_set: str
    """"ground", "marine" or "terrain"; "" where the fields are those of targets and nothing tells which."""
    texts: dict[str, str]
    """Dimension -> its text as written, without list marks and quotes around it."""
    confidences: dict[str, float]
    """Dimension -> confidence, where one was stated as in "(0.8, visual)"."""
    evidence: dict[str, Evidence]
    missing: tuple[str, ...]
    """Dimensions of the set without a text, in order."""


def parse_free_form(content: str, instruction_set: str | None = None) -> FreeForm:
    """Read eight sub-texts from free text.

    Args:
        content: the answer.
        instruction_set: the set that was asked for; None infers it from the names of the fields, and for targets from
            what they speak of.

    Raises:
        ValueError: not one field was found.
    """
    content = _tidy(content)
    if len(content) > MAX_CONTENT:
        raise ValueError(f"The answer has {len(content)} characters; write eight statements of one sentence.")
    pairs = _json_pairs(content)
    kinds = list(_SYNONYMS)
    if instruction_set:
        kinds = [InstructionSet.TERRAIN if instruction_set == InstructionSet.TERRAIN else InstructionSet.MARINE]
    # Marine and ground sets name their fields alike: the text itself tells them apart below.
    readings = {kind: _named(pairs, kind) if pairs else _labelled(content, kind) for kind in kinds}
    kind = max(kinds, key=lambda name: len(readings[name]))
    if not readings[kind]:
        raise ValueError(
            "No field was found; write each of the eight as `Name: statement` on a line of its own, or as JSON."
        )
    texts, confidences, evidence = readings[kind], dict[str, float](), dict[str, Evidence]()
    for dimension, text in texts.items():
        stated = _STATED.search(text)
        share = (stated["share1"] or stated["share2"]) if stated else ""
        number = float(share.rstrip("% ") or 2) / (100.0 if share.endswith("%") else 1.0)
        if stated and number <= 1.0 and text[: stated.start()].strip():
            texts[dimension] = text[: stated.start()].rstrip()
            confidences[dimension] = number
            evidence[dimension] = cast(Evidence, (stated["by1"] or stated["by2"]).lower())
    chosen = instruction_set or _set_of(kind, content, texts.values(), pairs)
    order = DIMENSIONS[kind]
    missing = tuple(name for name in order if name not in texts)
    return FreeForm(chosen, {name: texts[name] for name in order if name in texts}, confidences, evidence, missing)


_TAGS: Final = "|".join({label.replace(" ", "[ _-]?") for labels in _DIMENSION_OF.values() for label in labels})
_TIDY: Final = (
    (re.compile(r"\A.*</think>", re.DOTALL | re.IGNORECASE), ""),  # what a reasoning model tells itself
    (re.compile(r"</?(?:b|i|em|strong|span|u|code)(?: [^<>]{0,80})?>", re.IGNORECASE), ""),
    (re.compile(r"</?(?:p|br|li|ul|ol|div|h[1-6]|table|tbody|tr|td|th)(?: [^<>]{0,80})?/?>", re.IGNORECASE), "\n"),
    (re.compile(rf"<({_TAGS})>", re.IGNORECASE), r"\n\1: "),
    (re.compile(r"</[A-Za-z][\w -]{0,40}>"), "\n"),
    (re.compile(r"^([A-Za-z][\w ]{0,40})\t", re.MULTILINE), r"\1: "),
    (re.compile(r"(?<=\w-)\n[ \t]*(?=\w)"), ""),  # a line that was broken at a hyphen
    (re.compile(r"[ \t\xa0]+"), " "),
)


def _tidy(content: str) -> str:
    """The answer without markup that only surrounds it, line ends as "\\n"."""
    content = content.replace("\r\n", "\n")
    for pattern, instead in _TIDY:
        content = pattern.sub(instead, content)
    return content.strip()


def _plain(key: str) -> str:
    """ "1. Functional_Distribution" -> "functional distribution"."""
    return re.sub(r"[\s_-]+", " ", re.sub(r"^[\W\d_]+|[\W_]+$", "", key)).lower()


def _set_of(kind: InstructionSet, content: str, texts: Iterable[str], pairs: Sequence[tuple[str, str]]) -> str:
    if kind is InstructionSet.TERRAIN:
        return kind
    named = _SET_LINE.search(content)
    said = named[1] if named else {_plain(name): text for name, text in pairs}.get("instruction set", "")
    if said.lower() in _WORDS:
        return said.lower()
    joined = " ".join(texts)
    hits = {name: len(pattern.findall(joined)) for name, pattern in _WORDS.items()}
    return "" if len(set(hits.values())) == 1 else max(hits, key=lambda name: hits[name])


# ---- JSON -----------------------------------------------------------------------------------------------------------

_NAME_KEYS, _TEXT_KEYS = ("dimension", "name", "field", "title"), ("text", "statement", "description", "value")


def _json_pairs(content: str) -> list[tuple[str, str]]:
    """Names and texts of an answer that holds JSON, however nested; [] for anything else."""
    begin = re.search(r"[{\[]", content)
    try:
        return list(_pairs(json.JSONDecoder().raw_decode(content, begin.start())[0])) if begin else []
    except (json.JSONDecodeError, RecursionError):
        return []


def _pairs(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for entry in value:
            yield from _pairs(entry)
    if not isinstance(value, dict):
        return
    name, text = (next((value[key] for key in keys if key in value), None) for keys in (_NAME_KEYS, _TEXT_KEYS))
    if name is not None and text is not None:  # {"dimension": ..., "text": ...}
        yield str(name), str(text)
        return
    for key, inner in value.items():
        inner = inner["text"] if isinstance(inner, dict) and "text" in inner else inner
        if isinstance(inner, str | int | float) and not isinstance(inner, bool):
            yield key, str(inner)
        else:
            yield from _pairs(inner)


def _named(pairs: Sequence[tuple[str, str]], kind: InstructionSet) -> dict[str, str]:
    """Dimension -> text; own names go before synonyms."""
    found: dict[str, str] = {}
    for exact in (True, False):
        for key, text in pairs:
            dimension = _DIMENSION_OF[kind].get(_plain(key))
            if dimension and text.strip() and (dimension.lower() == _plain(key)) == exact:
                found.setdefault(dimension, text.strip())
    return found


# ---- labels in text -------------------------------------------------------------------------------------------------

_LIST = r"(?:[-+•‣·][ \t]+|\*[ \t]+)?"
_MARKS = rf"[ \t]*(?:[>#]+[ \t]*)?{_LIST}(?:\|[ \t]*(?:\d{{1,2}}[ \t]*\|[ \t]*)?)?(?:\d{{1,2}}\.\d{{1,2}}[ \t]+)?"
"""Quote, heading, list and table marks before a label."""
_NUMBER = (
    r"(?:[(\[]?(?:\d{1,2}|[ivx]{1,4}|[a-h])[)\].:、]{1,2}[ \t]*|"
    r"(?:sub-?text|dimension|field|item)[ \t]?\d[ \t]*[).:、-]?[ \t]*)?"
)
_OPEN = r"[*_`\"'“‘{\[(<|【]{0,4}[ \t]*(?:the[ \t])?"
_CLOSE = r"[ \t]*(?:\([^()\n]{1,40}\)[ \t]*)?[*_`\"'”’>\])|】]{0,4}[ \t]*"
_COLON = r"(?:[:：=]|[-–—=]?>|→|⇒|[-–—](?=[ \t])|\||,(?=[\"“]))[*_`]{0,3}"


def _pattern(kind: InstructionSet) -> re.Pattern[str]:
    labels = sorted(_DIMENSION_OF[kind], key=len, reverse=True)
    names = "|".join(re.escape(label).replace(r"\ ", r"[ _-]?") for label in labels)
    return re.compile(
        rf"(?P<before>^{_MARKS}|(?<=[.;,:|{{}}\[\]\n。；，])[ \t]*|[ \t]+(?=[\d(*_\"'`\[【])|[ \t]+(?=(?-i:[A-Z])))"
        rf"{_NUMBER}(?:(?P<mark>\*\*|__|\[|【)(?P<marked>{names})(?:\*\*|__|\]|】)(?:[ \t]*{_COLON})?|"
        rf"{_OPEN}{_NUMBER}(?P<name>{names})\b{_CLOSE}{_COLON})",
        re.IGNORECASE | re.MULTILINE,
    )


_PATTERNS: Final = {kind: _pattern(kind) for kind in _SYNONYMS}
_HEADING: Final = re.compile(rf"^{_MARKS}{_NUMBER}{_OPEN}(?P<name>[A-Z][A-Za-z _-]{{0,39}}?){_CLOSE}$", re.MULTILINE)
"""A line that holds nothing but a name: a heading with its text below."""
_SENTENCES: Final = {
    "Terrain": re.compile(r"\bthe terrain (?:type )?is (?:classified|described) as\b", re.IGNORECASE),
    "Functionality": re.compile(r"\bthe (?:area )?functionality is (?:classified|described) as\b", re.IGNORECASE),
}
"""Beginnings that name their field without a label; they stay in the text."""
_OTHER: Final = re.compile(
    rf"^{_MARKS}{_OPEN}(?:instruction[ _]set|counts|boxes|confidence|evidence|notes?){_CLOSE}{_COLON}.*$",
    re.IGNORECASE | re.MULTILINE,
)
"""Lines that belong to the answer and to no field."""
_MOST_LABELS: Final = 200
"""Eight are wanted; an answer with more than this is no answer."""


class _Label(NamedTuple):
    start: int
    end: int
    dimension: str
    heads_line: bool


def _labels(content: str, kind: InstructionSet) -> list[_Label]:
    """Everything that may be a label, in order."""
    names, found = _DIMENSION_OF[kind], list[_Label]()
    for match in _PATTERNS[kind].finditer(content):
        heads = content[: match.start()].rsplit("\n", 1)[-1].strip() == ""
        found.append(_Label(match.start(), match.end(), names[_plain(match["name"] or match["marked"])], heads))
    for match in _HEADING.finditer(content):
        if dimension := names.get(_plain(match["name"])):
            found.append(_Label(match.start(), match.end(), dimension, True))
    for dimension, pattern in _SENTENCES.items() if kind is InstructionSet.TERRAIN else ():
        found += [_Label(match.start(), match.start(), dimension, False) for match in pattern.finditer(content)]
    return sorted(found, key=lambda label: label.start)[:_MOST_LABELS]


def _labelled(content: str, kind: InstructionSet) -> dict[str, str]:
    chain = _chain(_labels(content, kind), DIMENSIONS[kind])
    ends = sorted([label.start for label in chain] + [m.start() for m in _OTHER.finditer(content)] + [len(content)])
    last = max(chain, default=None)
    found = {}
    for label in chain:
        end = next(end for end in ends if end > label.start)
        text = content[label.end : max(end, label.end)].strip()
        if label is last:  # a closing paragraph is no part of it
            text = re.split(r"\n\s*\n", text)[0]
        if text := _bare(text):
            found[label.dimension] = text
    return found


def _chain(labels: Sequence[_Label], order: Sequence[str]) -> list[_Label]:
    """One label a dimension: labels that head lines where there are several such, and in the dimensions' order."""
    # "Location of tanks: behind the quay" within a text looks like a label too. Such a one rarely heads a line, and
    # rarely stands where its dimension is due: the longest run in the right order leaves it out.
    if len({label.dimension for label in labels if label.heads_line}) >= 3:
        labels = [label for label in labels if label.heads_line]
    first = list({label.dimension: label for label in reversed(labels)}.values())
    runs: list[list[_Label]] = []
    for label in labels:
        before = [run for run in runs if order.index(run[-1].dimension) < order.index(label.dimension)]
        runs.append([*max(before, key=len, default=[]), label])
    ordered = max(runs, key=len, default=[])
    return ordered if len(ordered) >= len(first) else first


_QUOTES: Final = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("**", "**"), ("*", "*"), ("`", "`"))
_ESCAPE: Final = re.compile(r'\\(?:u([0-9a-fA-F]{4})|([nt"/\\]))')


def _bare(text: str) -> str:
    """The text of a field on one line, without what joins it to the next field."""
    text = " ".join(text.split())
    before = None
    while before != text:
        before = text
        text = re.sub(r"^(?:[\s|]|[-•*+]\s+)+", "", re.sub(r"[\s;,|{}]+$", "", text))
        for opens, closes in _QUOTES:
            inner = text[len(opens) : -len(closes)]
            apart = re.sub(r"(?<=\w)'", "", inner) if opens == "'" else re.sub(r'\\"', "", inner)
            if text.startswith(opens) and text.endswith(closes) and len(text) > 2 * len(opens) and closes not in apart:
                text = inner.strip()
        if text.startswith('"') and text.count('"') == 1:  # cut off before the closing quote
            text = text[1:]
    return " ".join(_ESCAPE.sub(_unescape, text).split())


def _unescape(match: re.Match[str]) -> str:
    if not match[1]:
        return " " if match[2] in "nt" else str(match[2])
    code = int(match[1], 16)
    return "" if 0xD800 <= code < 0xE000 else chr(code)  # half of a pair is no character
