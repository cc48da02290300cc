"""Examples for people: what a model was asked, what it gave, what was right. Pages show them and know no task."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from knowlip.base.documents import read_json
from knowlip.base.files import write_json

_MOST: Final = 10_000
_LONGEST: Final = 20_000


@dataclass(frozen=True)
class ShownItem:
    """One thing to be shown: a text, the picture of a tile, or both."""

    text: str = ""
    tile_id: str = ""
    right: bool | None = None
    """Whether it is right; None where nothing can tell, or nothing was asked."""
    note: str = ""
    """Set beside it: a dimension, a score."""


@dataclass(frozen=True)
class ShownExample:
    """One trial."""

    task: str
    kind: str
    """A heading that examples of one kind share, e.g. "an image looks for its text"."""
    asked: ShownItem
    given: tuple[ShownItem, ...]
    """The model's answer or answers, best first."""
    wanted: tuple[ShownItem, ...] = ()
    """What was right."""
    note: str = ""


def write_examples(path: Path, examples: Iterable[ShownExample]) -> None:
    """Write them as JSON: `{"examples": [...]}`."""
    write_json(path, {"examples": [asdict(example) for example in examples]})


def read_examples(path: Path) -> tuple[ShownExample, ...]:
    """Read a file of examples, which may come from anywhere.

    Raises:
        ValueError: it is missing, of before examples had this form, or something in it has another type.
    """
    found = read_json(path)
    listed = found.get("examples") if isinstance(found, dict) else None
    if not isinstance(listed, list) or len(listed) > _MOST:
        raise ValueError(f"{path} holds no examples of `knowlip evaluate`: run it again.")
    try:
        return tuple(_example(value) for value in listed)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds a broken example ({error}): run `knowlip evaluate` again.") from None


def _example(value: Any) -> ShownExample:
    given, wanted = (tuple(_item(item) for item in value[name]) for name in ("given", "wanted"))
    texts = {name: _text(value[name]) for name in ("task", "kind", "note")}
    return ShownExample(asked=_item(value["asked"]), given=given, wanted=wanted, **texts)


def _item(value: Any) -> ShownItem:
    if not isinstance(value, dict) or value.keys() != {one.name for one in fields(ShownItem)}:
        raise ValueError("an item must have text, tile_id, right and note")
    if value["right"] not in (True, False, None):
        raise ValueError("right must be true, false or null")
    return ShownItem(right=value["right"], **{name: _text(value[name]) for name in ("text", "tile_id", "note")})


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise ValueError(f"a text must have at most {_LONGEST} characters")
    return value
