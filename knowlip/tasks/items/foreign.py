"""`knowlip questions import`: captions and questions of others, brought to the tiles of a data set by names of images.

coco    COCO captions: {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}
table   one record an image and text, as CSV, JSON lines or a JSON list; SARLANG-1M's files are such, and LLaVA's
        ("conversations" of a human and a model)
items   a file of `knowlip questions make`, or one written by hand in its layout
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from knowlip.base.documents import parse_json, read_limited
from knowlip.base.progress import say
from knowlip.base.settings import plain
from knowlip.dataset import Dataset
from knowlip.language.questions import Question
from knowlip.tasks.items.images import ImageNames
from knowlip.tasks.items.make import Made, show, written
from knowlip.tasks.items.records import (
    FORMAT,
    LONGEST,
    SAID_TWICE,
    TWICE,
    Caption,
    Items,
    check_answers,
    counted,
    distinct,
    once_said,
    question_of,
    read_items,
    sign_in,
)
from knowlip.tasks.items.settings import NAMES, Form, ImportItemsConfig

__all__ = ["ImportItemsConfig", "import_items", "show"]

_IDS: Final = ("image_id", "name")
"""Columns that name an image only where nothing else does: an id is often a number of its own."""
_MOST_BYTES: Final = 2 << 30
_MOST_VALUES: Final = 100_000_000
_MOST_COLUMNS: Final = 1000
_SHOWN_COLUMNS: Final = 12
_WIDEST: Final = 1 << 20
"""Characters of a cell of a CSV file."""
_NO_TEXT: Final = "\0"
"""Stands for a value that is there and is no text, number or blank."""
_WHOLE: Final = re.compile(r"(-?[0-9]+)\.0+")
_ASKS: Final = ("human", "user")
_ANSWERS: Final = ("gpt", "assistant", "model", "bot", "chatgpt", "llm")


class _Entry(NamedTuple):
    """A caption, or a question with its answer, of the image that these are the names of."""

    images: tuple[str, ...]
    caption: str = ""
    question: str = ""
    answer: str = ""
    type: str = ""
    asks: bool = False
    """Whether it is a question, also where its words are missing."""


def import_items(config: ImportItemsConfig) -> Made:
    """Read files of others and write them as ours.

    Raises:
        ValueError: a file is broken or has none of the columns, no image of it is in the data set, or a question has
            two answers.
    """
    data = Dataset(config.dataset)
    captions: list[Caption] = []
    questions: list[Question] = []
    left: dict[str, list[str]] = {"captions": [], "questions": []}
    foreign: list[tuple[Path, _Entry]] = []
    unknown = False
    for path in config.files:
        if _form(path, config.form) == "items":
            found = read_items(path, data)
            captions += found.captions
            questions += found.questions
            unknown |= found.labels_sha256 is None
            continue
        foreign += [(path, entry) for entry in _entries(path, config)]
    names = ImageNames(data, (one for _, entry in foreign for one in entry.images))
    for path, entry in foreign:
        kind = "questions" if entry.asks else "captions"
        tile, why = names.tile(entry.images)
        texts = (entry.caption, entry.question, entry.answer, entry.type)
        if why:
            left[kind].append(why)
        elif max(map(len, texts)) > LONGEST:
            left[kind].append(f"it has a text of more than {LONGEST:,} letters")
        elif _NO_TEXT in texts:
            left[kind].append("what it says is neither text nor number, as a list or true")
        elif not entry.question and not entry.caption:
            left[kind].append("it asks nothing" if entry.asks else "it says nothing")
        elif entry.asks and not entry.answer:
            left[kind].append("it has no answer")
        elif any(map(sign_in, texts)):
            left[kind].append("it holds a sign of the model's own, as [SEP]")
        elif entry.asks:
            # Capitals stay: they tell names and letters of the compass, by which questions turn with their tiles.
            questions.append(question_of(tile, entry.question, entry.answer, entry.type, source=path.name))
        else:
            captions.append(Caption(tile, entry.caption, path.name))
    if not captions and not questions:
        total = sum(map(len, left.values()))
        raise ValueError(
            f"None of {total} captions and questions is about a tile of {config.dataset}: images are found by the "
            "names of their files, as `knowlip dataset import` keeps them in tile_id."
        )
    check_answers(questions, ", ".join(path.name for path in config.files))
    kept = distinct(questions)
    left["questions"] += [TWICE] * (len(questions) - len(kept))
    told = once_said(captions)
    left["captions"] += [SAID_TWICE] * (len(captions) - len(told))
    left_out = {kind: counted(reasons) for kind, reasons in left.items()}
    made = {name: value for name, value in plain(config).items() if name in ("form", "columns")}
    files = {"files": [path.name for path in config.files]}
    items = Items(told, kept, left_out, made | files, None if unknown else data.labels_sha256)
    return written(items, data, config.out)


def _form(path: Path, form: Form) -> Form:
    """How a file is written."""
    if form != "auto":
        return form
    head = read_limited(path, _MOST_BYTES)[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if path.suffix.lower() == ".json" and head.startswith(b"{"):
        found = _json(path)
        if found.get("format") == FORMAT:
            return "items"
        if isinstance(found.get("annotations"), list):
            return "coco"
    return "table"


def _entries(path: Path, config: ImportItemsConfig) -> Iterator[_Entry]:
    if _form(path, config.form) == "coco":
        yield from _coco(path)
        return
    columns = dict(one.split("=", 1) for one in config.columns)
    records = _records(path)
    found = False
    there: dict[str, None] = {}
    taken: set[str] = set()
    for number, record in enumerate(records, 1):
        if not isinstance(record, Mapping):
            raise ValueError(f"Record {number} of {path} is no object.")
        if isinstance(record.get("conversations"), list):
            yield from _conversation(record, columns, path, number)
            found = True
            continue
        if len(there) < _MOST_COLUMNS:
            there |= dict.fromkeys(str(key).strip() for key in record)
        images = _values(record, "image", columns, taken)
        caption, question, answer, kind = (_value(record, what, columns, taken) for what in list(NAMES)[1:])
        says, asks = (bool(_named(record, what, columns)) for what in ("caption", "question"))
        if not images or not (says or asks):
            raise ValueError(
                f"Record {number} of {path} has no image, or neither a caption nor a question: it has "
                f"{', '.join(map(str, list(record)[:12]))}. Say which column is what by --columns."
            )
        found = True
        # A record of both says and asks: neither is left out for the other.
        if caption or not asks:
            yield _Entry(images, caption)
        if asks and (question or answer or not caption):
            yield _Entry(images, "", question, answer, "" if kind == _NO_TEXT else kind, asks=True)
    if not found:
        raise ValueError(f"{path} holds no record.")
    if unread := [name for name in there if name.lower() not in taken]:
        more = f" and {len(unread) - _SHOWN_COLUMNS} more" if len(unread) > _SHOWN_COLUMNS else ""
        say(f"{path.name}: nothing is read from {', '.join(unread[:_SHOWN_COLUMNS])}{more} (--columns says what is).")


def _conversation(record: Mapping[str, Any], columns: Mapping[str, str], path: Path, number: int) -> Iterator[_Entry]:
    """Turns of a human and a model in pairs, as LLaVA writes them.

    Raises:
        ValueError: a turn is no text, or it is not a human who asks and a model that answers in turn.
    """
    images, turns = _values(record, "image", columns, set()), record["conversations"]
    values = [turn.get("value") if isinstance(turn, Mapping) else None for turn in turns]
    said = [text for text in values if isinstance(text, str)]
    if not images or len(values) % 2 or len(said) < len(values):
        raise ValueError(f"Record {number} of {path} has no image, or turns that are not pairs of texts.")
    for turn, known in zip(turns, (_ASKS, _ANSWERS) * (len(turns) // 2)):
        if str(turn.get("from", known[0])).strip().lower() not in known:
            raise ValueError(
                f"A turn of record {number} of {path} is from {turn['from']!r}, where one of {', '.join(known)} should "
                "speak: a human asks, a model answers."
            )
    for asked, answered in zip(said[::2], said[1::2]):
        yield _Entry(images, question=_line(asked.replace("<image>", " ")), answer=_line(answered), asks=True)


def _value(record: Mapping[str, Any], what: str, columns: Mapping[str, str], taken: set[str]) -> str:
    """What a record says, "" for nothing, `_NO_TEXT` for what is no text."""
    found = _values(record, what, columns, taken)
    if found:
        return found[0]
    named = [value for _, value in _named(record, what, columns)]
    unlike = any(value is not None and not (isinstance(value, str) and not value.strip()) for value in named)
    return _NO_TEXT if unlike else ""


def _named(record: Mapping[str, Any], what: str, columns: Mapping[str, str]) -> list[tuple[str, Any]]:
    """The columns that may say it, by lower-case name, and what stands there, in order of their names."""
    lower = {str(key).strip().lower(): value for key, value in record.items()}
    names = (columns[what],) if what in columns else NAMES[what]
    return [(name.lower(), lower[name.lower()]) for name in names if name.lower() in lower]


def _values(record: Mapping[str, Any], what: str, columns: Mapping[str, str], taken: set[str]) -> tuple[str, ...]:
    """What the columns say that may say it, in order of their names; which were read is added to `taken`."""
    found: list[str] = []
    for name, value in _named(record, what, columns):
        if found and (name in _IDS or what != "image"):
            break
        text = _as_text(value)
        if text:
            found.append(text)
            taken.add(name)
    return tuple(found)


def _as_text(value: Any) -> str:
    """A text or number in one line; "" for anything else. A whole number that went through a table with gaps, as 2.0,
    is written without its point, also where it is a text, as all cells of a CSV file are."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    elif isinstance(value, str) and (whole := _WHOLE.fullmatch(value.strip())):
        value = whole[1]
    return _line(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _line(text: str) -> str:
    return " ".join(text.split())


def _coco(path: Path) -> Iterator[_Entry]:
    found = _json(path)
    images, annotations = found.get("images"), found.get("annotations")
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise ValueError(f"{path} has no lists of images and annotations, as COCO captions have.")
    try:
        names: dict[Any, str] = {}
        for image in images:
            if not isinstance(image["file_name"], str):
                raise ValueError(f"The image {image['id']!r} of {path} has a file_name that is no text.")
            if names.setdefault(image["id"], str(image["file_name"])) != str(image["file_name"]):
                raise ValueError(
                    f"{path} names two images {image['id']!r}: {names[image['id']]} and {image['file_name']}. Nobody "
                    "can tell which of them is described: give each image an id of its own."
                )
        for one in annotations:
            if "caption" not in one:
                raise ValueError(f"An annotation of {path} has no caption: it is no file of captions.")
            if one["image_id"] not in names:
                raise ValueError(f"{path} describes the image {one['image_id']!r}, which it does not name.")
            said = one["caption"]
            text = _line(said) if isinstance(said, str) else "" if said is None else _NO_TEXT
            yield _Entry((names[one["image_id"]],), text)
    except (KeyError, TypeError) as error:
        raise ValueError(f"An image or annotation of {path} is not as COCO has it ({error}).") from None


def _records(path: Path) -> Iterable[Any]:
    """Records of a table, whatever its file is."""
    data = read_limited(path, _MOST_BYTES)
    if path.suffix.lower() == ".csv":
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not text in UTF-8.") from None
        csv.field_size_limit(_WIDEST)
        # Without `strict` a quotation mark that nobody closes takes all rows behind it into one cell; of two columns of
        # one name the first would be lost.
        try:
            table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
            rows = list(table)
        except csv.Error as error:
            raise ValueError(f"{path} is no readable CSV file (row {table.line_num}: {error}).") from None
        heads = [head.strip().lower() for head in table.fieldnames or () if head.strip()]
        if twice := sorted({head for head in heads if heads.count(head) > 1}):
            raise ValueError(f"{path} has several columns {twice[0]!r}: nobody can tell which is meant, rename them.")
        if any(None in row for row in rows):
            raise ValueError(f"A row of {path} has more cells than its head.")
        return rows
    if path.suffix.lower() == ".jsonl":
        lines = data.splitlines()
        return [parse_json(line, f"line {n} of {path}") for n, line in enumerate(lines, 1) if line.strip()]
    found = parse_json(data, str(path), most_values=_MOST_VALUES)
    if isinstance(found, dict):  # a list of records under a name of its own
        lists = [value for value in found.values() if isinstance(value, list)]
        found = lists[0] if len(lists) == 1 else found
    if not isinstance(found, list):
        raise ValueError(f"{path} holds no list of records.")
    return found


def _json(path: Path) -> dict[str, Any]:
    found = parse_json(read_limited(path, _MOST_BYTES), str(path), most_values=_MOST_VALUES)
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no object.")
    return found
