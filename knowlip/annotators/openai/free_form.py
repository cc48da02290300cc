"""Read the free-text form of an answer with regular expressions, as the paper does.

"Terrain: The terrain is classified as plain; Functionality: ..." on one line or many, numbered, bold, quoted, as list,
table or flat JSON. A field begins at a label, a dimension's name or a synonym of it, and ends before the next label.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from knowlip.annotators.types import EvidenceKind
from knowlip.language.dimensions import DIMENSIONS

UNSTATED_CONFIDENCE = 0.5
"""Confidence of a sub-text that states none."""

_TARGET: Final[dict[str, tuple[str, ...]]] = {
    "Count": ("count", "number", "quantity", "number of targets", "target count", "counts", "amount"),
    "Location": ("location", "position", "locations", "positions", "target location", "placement"),
    "Feature": ("feature", "features", "target features", "target feature", "sar features", "scattering features",
                "characteristics", "appearance"),
    "Size": ("size", "sizes", "dimensions", "target size", "scale"),
    "Category": ("category", "type", "class", "types", "categories", "target category", "target type",
                 "classification"),
    "Distribution": ("distribution", "arrangement", "target distribution", "spatial distribution", "formation"),
    "Region": ("region", "regions", "area", "region share", "region proportion", "surface"),
    "Environment": ("environment", "surroundings", "surrounding environment", "context", "setting", "background"),
}  # fmt: skip
_TERRAIN: Final[dict[str, tuple[str, ...]]] = {
    "Terrain": ("terrain", "terrain type", "landform", "terrain classification", "land form", "topography"),
    "Functionality": ("functionality", "function", "area functionality", "land use", "functions",
                      "functional area", "area function"),
    "Distribution": ("distribution", "location", "functional distribution", "locations", "spatial distribution",
                     "distribution of functions"),
    "Layout": ("layout", "spatial layout", "arrangement", "structure", "spatial structure"),
    "Boundary": ("boundary", "boundaries", "boundary features", "edges", "borders", "boundary feature"),
    "Buildings": ("buildings", "building", "building presence", "built structures", "presence of buildings"),
    "Roads": ("roads", "road", "road presence", "transport", "road network", "roads and transport",
              "presence of roads", "transportation"),
    "Water": ("water", "water presence", "water bodies", "water body", "hydrology", "presence of water"),
}  # fmt: skip
_SYNONYMS: Final = {"target": _TARGET, "terrain": _TERRAIN}
_WORDS: Final = {
    "ground": re.compile(
        r"\b(aircrafts?|air ?planes?|air ?liners?|planes?|jets?|boeing|airbus|runways?|aprons?|taxiways?|hangars?|"
        r"terminals?|fuselages?|wings?|airports?|airfields?|helicopters?)\b",
        re.IGNORECASE,
    ),
    "marine": re.compile(
        r"\b(ships?|vessels?|boats?|tankers?|hulls?|quays?|berths?|piers?|docks?|harbou?rs?|ports?|sea|ocean|"
        r"anchor(?:ed|age)?|moored|carriers?|containers?|wakes?|offshore|coast\w*)\b",
        re.IGNORECASE,
    ),
}
_SET_LINE: Final = re.compile(r"\binstruction[ _]set\W{1,6}(ground|marine|terrain)\b", re.I)
_EVIDENCE = "visual|geo|prior|parent"
_STATED: Final = re.compile(
    rf"\s*[\[(]\s*(?:(?:confidence\s*[:=]?\s*)?(?P<c1>[01](?:\.\d+)?|\.\d+|\d{{1,3}} ?%)\s*[,;/|]\s*"
    rf"(?:evidence\s*[:=]?\s*)?(?P<e1>{_EVIDENCE})|(?:evidence\s*[:=]?\s*)?(?P<e2>{_EVIDENCE})\s*[,;/|]\s*"
    r"(?:confidence\s*[:=]?\s*)?(?P<c2>[01](?:\.\d+)?|\.\d+|\d{1,3} ?%))\s*[\])]\s*\.?\s*$", re.I
)  # fmt: skip
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
    evidence: dict[str, EvidenceKind]
    missing: tuple[str, ...]
    """Dimensions of the set without a text, in order."""


class _Label(NamedTuple):
    dimension: str
    start: int
    end: int
    heads_line: bool


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
    flat = _flat_json(content)
    kinds = [_kind(instruction_set)] if instruction_set else list(_SYNONYMS)
    readings = {kind: _named(flat, kind) if flat else _labelled(content, kind) for kind in kinds}
    kind = max(kinds, key=lambda name: _score(readings[name], name, content, flat))
    found = readings[kind]
    if not found:
        raise ValueError(
            "No field was found; write each of the eight as `Name: statement` on a line of its own, or as JSON."
        )
    texts, confidences, evidence = {}, dict[str, float](), dict[str, EvidenceKind]()
    for dimension, text in found.items():
        if stated := _STATED.search(text):
            share = stated["c1"] or stated["c2"]
            number = float(share.rstrip("% ")) / (100.0 if share.endswith("%") else 1.0)
            if number <= 1.0 and text[: stated.start()].strip():
                text = text[: stated.start()].rstrip()
                confidences[dimension] = number
                evidence[dimension] = (stated["e1"] or stated["e2"]).lower()  # type: ignore[assignment]
        texts[dimension] = text
    chosen = instruction_set or _set_of(kind, content, texts.values(), flat)
    order = DIMENSIONS[chosen or "marine"]
    missing = tuple(name for name in order if name not in texts)
    return FreeForm(chosen, {name: texts[name] for name in order if name in texts}, confidences, evidence, missing)


_TAGS: Final = "|".join(
    {word.replace(" ", "[ _-]?") for kind in _SYNONYMS.values() for words in kind.values() for word in words}
)
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


def _kind(instruction_set: str) -> str:
    return "terrain" if instruction_set == "terrain" else "target"


def _score(found: dict[str, str], kind: str, content: str, flat: dict[str, Any] | None) -> tuple[int, int]:
    """How well a reading fits: the fields found, then those under a name that only this kind has."""
    own = set(DIMENSIONS["terrain" if kind == "terrain" else "marine"])
    other = set(DIMENSIONS["marine" if kind == "terrain" else "terrain"])
    spelt = {_plain(key) for key in flat} if flat else {_plain(label) for label in re.findall(r"[A-Za-z]+", content)}
    return len(found), sum(1 for name in own - other if name.lower() in spelt)


def _set_of(kind: str, content: str, texts: Iterable[str], flat: dict[str, Any] | None) -> str:
    if kind == "terrain":
        return "terrain"
    named = _SET_LINE.search(content)
    if named and named[1].lower() != "terrain":
        return named[1].lower()
    if flat:
        value = next((str(v).lower() for k, v in flat.items() if _plain(k) == "instruction set"), "")
        if value in ("ground", "marine"):
            return value
    joined = " ".join(texts)
    hits = {name: len(pattern.findall(joined)) for name, pattern in _WORDS.items()}
    return "" if hits["ground"] == hits["marine"] else max(hits, key=lambda name: hits[name])


# ---- flat JSON ------------------------------------------------------------------------------------------------------


_NAME_KEYS, _TEXT_KEYS = ("dimension", "name", "field", "title"), ("text", "statement", "description", "value")


def _flat_json(content: str) -> dict[str, Any] | None:
    """The names and texts of an answer that holds JSON, one level of nesting opened; None for anything else."""
    begin = re.search(r"[{\[]", content)
    if not begin:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(content, begin.start())
    except (json.JSONDecodeError, RecursionError):
        return None
    if isinstance(value, list):
        return _listed([entry for entry in value if isinstance(entry, dict)])
    if not isinstance(value, dict):
        return None
    for inner in ("sub_texts", "subtexts", "texts"):
        if isinstance(value.get(inner), dict):
            return {**value, **value[inner]}
        if isinstance(value.get(inner), list):
            return {**value, **(_listed([entry for entry in value[inner] if isinstance(entry, dict)]) or {})}
    return value


def _listed(entries: list[dict[str, Any]]) -> dict[str, Any] | None:
    """[{"dimension": ..., "text": ...}, ...] or [{...}] -> one object."""
    flat: dict[str, Any] = {}
    for entry in entries:
        name = next((str(entry[key]) for key in _NAME_KEYS if key in entry), None)
        text = next((entry[key] for key in _TEXT_KEYS if key in entry), None)
        flat |= entry if name is None or text is None else {name: text}
    return flat or None


def _named(flat: dict[str, Any], kind: str) -> dict[str, str]:
    """Dimension -> text of a flat JSON object; own names go before synonyms."""
    names = {word: dimension for dimension, words in _SYNONYMS[kind].items() for word in words}
    found: dict[str, str] = {}
    for exact in (True, False):
        for key, value in flat.items():
            dimension = names.get(_plain(key))
            text = value.get("text") if isinstance(value, dict) else value
            fits = dimension is not None and (dimension.lower() == _plain(key)) == exact
            if fits and isinstance(text, str | int | float) and not isinstance(text, bool) and str(text).strip():
                found.setdefault(str(dimension), str(text).strip())
    return found


def _plain(key: str) -> str:
    """ "1. Functional_Distribution" -> "functional distribution"."""
    return re.sub(r"[\s_-]+", " ", re.sub(r"^[\W\d_]+|[\W_]+$", "", key)).lower()


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


def _pattern(kind: str) -> re.Pattern[str]:
    words = {word for synonyms in _SYNONYMS[kind].values() for word in synonyms}
    names = "|".join(re.escape(word).replace(r"\ ", r"[ _-]?") for word in sorted(words, key=len, reverse=True))
    return re.compile(
        rf"(?P<before>^{_MARKS}|(?<=[.;,:|{{}}\[\]\n。；，])[ \t]*|[ \t]+(?=[\d(*_\"'`\[【])|[ \t]+(?=(?-i:[A-Z])))"
        rf"{_NUMBER}(?:(?P<mark>\*\*|__|\[|【)(?P<marked>{names})(?:\*\*|__|\]|】)(?:[ \t]*{_COLON})?|"
        rf"{_OPEN}{_NUMBER}(?P<name>{names})\b{_CLOSE}{_COLON})",
        re.IGNORECASE | re.MULTILINE,
    )


_PATTERNS: Final = {kind: _pattern(kind) for kind in _SYNONYMS}
_HEADING: Final = re.compile(rf"^{_MARKS}{_NUMBER}{_OPEN}(?P<name>[A-Z][A-Za-z _-]{{0,39}}?){_CLOSE}$", re.MULTILINE)
"""A line that holds nothing but a name: a heading with its text below."""
_SENTENCES: Final = (
    ("Terrain", re.compile(r"\bthe terrain (?:type )?is (?:classified|described) as\b", re.IGNORECASE)),
    ("Functionality", re.compile(r"\bthe (?:area )?functionality is (?:classified|described) as\b", re.IGNORECASE)),
)
"""Beginnings that name their field without a label; they stay in the text."""
_OTHER: Final = re.compile(
    rf"^{_MARKS}{_OPEN}(?:instruction[ _]set|counts|boxes|confidence|evidence|notes?){_CLOSE}{_COLON}.*$",
    re.IGNORECASE | re.MULTILINE,
)
"""Lines that belong to the answer and to no field."""


_MOST_LABELS: Final = 200
"""Eight are wanted; an answer with more than this is no answer."""


def _labelled(content: str, kind: str) -> dict[str, str]:
    names = {_plain(word): name for name, words in _SYNONYMS[kind].items() for word in words}
    labels = []
    for match in _PATTERNS[kind].finditer(content):
        heads = content[: match.start()].rsplit("\n", 1)[-1].strip() == ""
        labels.append(_Label(names[_plain(match["name"] or match["marked"])], match.start(), match.end(), heads))
    for match in _HEADING.finditer(content):
        dimension = names.get(_plain(match["name"]))
        if dimension:
            labels.append(_Label(dimension, match.start(), match.end(), True))
    if kind == "terrain":
        for dimension, pattern in _SENTENCES:
            labels += [_Label(dimension, match.start(), match.start(), False) for match in pattern.finditer(content)]
    labels = sorted(labels, key=lambda label: label.start)[:_MOST_LABELS]
    order = DIMENSIONS["terrain" if kind == "terrain" else "marine"]
    chain = _chain(labels, order)
    ends = sorted([label.start for label in chain] + [m.start() for m in _OTHER.finditer(content)] + [len(content)])
    last = max(chain, key=lambda label: label.start, default=None)
    found = {}
    for label in chain:
        end = next(end for end in ends if end > label.start)
        text = content[label.end : max(end, label.end)].strip()
        if label is last:  # a closing paragraph is no part of it
            text = re.split(r"\n\s*\n", text)[0]
        text = _bare(text)
        if text:
            found[label.dimension] = text
    return found


def _chain(labels: Sequence[_Label], order: Sequence[str]) -> list[_Label]:
    """One label a dimension: labels that head lines where there are several such, and in the dimensions' order."""
    heads = _first_of_each([label for label in labels if label.heads_line])
    if len(heads) >= 3:
        labels = [label for label in labels if label.heads_line]
    ordered = _longest(labels, {name: number for number, name in enumerate(order)})
    first = _first_of_each(labels)
    return ordered if len(ordered) >= len(first) else first


def _first_of_each(labels: Sequence[_Label]) -> list[_Label]:
    found: dict[str, _Label] = {}
    for label in labels:
        found.setdefault(label.dimension, label)
    return list(found.values())


def _longest(labels: Sequence[_Label], rank: dict[str, int]) -> list[_Label]:
    """The longest run of labels in the order of the dimensions; of equal ones that with the earliest labels."""
    best: list[list[_Label]] = []
    for number, label in enumerate(labels):
        longest: list[_Label] = []
        for before in range(number):
            if rank[labels[before].dimension] < rank[label.dimension] and len(best[before]) > len(longest):
                longest = best[before]
        best.append([*longest, label])
    return max(best, key=len, default=[])


_QUOTES: Final = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("**", "**"), ("*", "*"), ("`", "`"))
_ESCAPE: Final = re.compile(r'\\(?:u([0-9a-fA-F]{4})|([nt"/\\]))')


def _bare(text: str) -> str:
    """The text of a field on one line, without what joins it to the next field."""
    text = " ".join(text.split())
    before = None
    while before != text:
        before = text
        text = re.sub(r"^(?:[\s|]+|[-•*+]\s+)", "", re.sub(r"[\s;,|{}]+$", "", text))
        for opens, closes in _QUOTES:
            inner = text[len(opens) : -len(closes)]
            apart = re.sub(r"(?<=\w)'", "", inner) if opens == "'" else re.sub(r'\\"', "", inner)
            if text.startswith(opens) and text.endswith(closes) and len(text) > 2 * len(opens) and closes not in apart:
                text = inner.strip()
        if text.startswith('"') and text.count('"') == 1:  # cut off before the closing quote
            text = text[1:]
    return " ".join(_ESCAPE.sub(_unescape, text).split())


def _unescape(match: re.Match[str]) -> str:
    if match[1]:
        code = int(match[1], 16)
        return "" if 0xD800 <= code < 0xE000 else chr(code)
    return {"n": " ", "t": " "}.get(match[2], match[2])
