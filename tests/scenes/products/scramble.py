"""Products with one thing wrong: what readers must refuse in words or survive."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_VALUES = ("", "nan", "-1", "0", "1e30", "abc", "3.5", "inf", "1 2 3", "2021-13-45T99:00:00", "9" * 30)
_TEXT = re.compile(r"<([\w:]+)((?:\s+[\w:]+=\"[^\"]*\")*)>([^<>\s][^<>]*)<")


def scramble(folder: Path, count: int, seed: int = 0) -> Iterator[str]:
    """Replace the text of one element of one XML file by nonsense, yield what was done, put it back; `count` times.

    Every kind of element is as likely as any other, however often it stands in the file.
    """
    rng = np.random.default_rng(seed)
    places: dict[tuple[Path, str], list[tuple[int, int]]] = {}
    for path in sorted([*folder.rglob("*.xml"), *folder.rglob("*.safe")]):
        for match in _TEXT.finditer(path.read_text()):
            places.setdefault((path, match[1]), []).append(match.span(3))
    kinds = list(places)
    for _ in range(count):
        path, tag = kinds[rng.integers(len(kinds))]
        start, stop = places[path, tag][rng.integers(len(places[path, tag]))]
        value = _VALUES[rng.integers(len(_VALUES))]
        whole = path.read_text()
        path.write_text(whole[:start] + value + whole[stop:])
        yield f"{tag} = {value!r} in {path.name}"
        path.write_text(whole)
