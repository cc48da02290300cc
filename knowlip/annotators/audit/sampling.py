"""Which tiles the experts look at: a share of every stratum (instruction set x scale), the same for a seed."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.vocabulary import SCALES
from knowlip.language.dimensions import DIMENSIONS

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1


@dataclass(frozen=True)
class Stratum:
    """The tiles of one instruction set at one scale."""

    instruction_set: str
    scale: str
    tiles: int
    drawn: int


@dataclass(frozen=True)
class AuditSample:
    """A drawn sample with all that is needed to draw it again."""

    revision: int
    seed: int
    share: float
    at_least: int
    fingerprint: str
    """Of the data set that it was drawn from."""
    texts_sha256: str
    """Over the sampled tiles' texts: verdicts are about these and no others."""
    strata: tuple[Stratum, ...]
    tiles: tuple[str, ...]
    """In the order in which they are shown. It is random, so that whatever part is done is a sample too."""


def draw(
    strata_of: dict[str, tuple[str, str]], share: float, at_least: int, seed: int
) -> tuple[list[Stratum], list[str]]:
    """Draw tiles.

    Every tile has a number that follows from its name and the seed, and the lowest numbers of a stratum are drawn: the
    order of the tiles does not matter, and a larger share holds all tiles of a smaller one.

    Args:
        strata_of: tile -> (instruction set, scale).
        share: of each stratum, above 0 up to 1, rounded up.
        at_least: tiles of each stratum, or all where there are fewer.
        seed: another seed draws other tiles.

    Returns:
        The strata that hold tiles, and the tiles in random order.
    """
    if not 0 < share <= 1:
        raise ValueError(f"The share to draw must lie above 0 and up to 1, not {share}.")
    if at_least < 0:
        raise ValueError(f"The least number of tiles of a stratum cannot be {at_least}.")
    strata, chosen = [], []
    for instruction_set in DIMENSIONS:
        for scale in SCALES:
            members = [tile for tile, stratum in strata_of.items() if stratum == (instruction_set, scale)]
            if not members:
                continue
            # The rounding undoes what binary fractions add: 2 % of 50 is one tile, not two.
            number = min(len(members), max(at_least, math.ceil(round(share * len(members), 9))))
            chosen += sorted(members, key=lambda tile: _number(tile, seed, "draw"))[:number]
            strata.append(Stratum(instruction_set, scale, len(members), number))
    return strata, sorted(chosen, key=lambda tile: _number(tile, seed, "order"))


def _number(tile_id: str, seed: int, purpose: str) -> str:
    return hashlib.sha256(f"{purpose}\n{seed}\n{tile_id}".encode()).hexdigest()


def texts_digest(texts: "pd.DataFrame", tiles: Sequence[str]) -> str:
    """SHA-256 over the texts of tiles (columns tile_id, slot, text), whatever their order."""
    rows = texts[texts["tile_id"].isin(list(tiles))]
    lines = sorted(f"{t}\n{s}\n{x}" for t, s, x in zip(rows["tile_id"], rows["slot"], rows["text"]))
    return hashlib.sha256("\n\n".join(lines).encode()).hexdigest()


def save(path: Path, sample: AuditSample) -> None:
    """Write a sample as JSON."""
    write_json(path, {"format": FORMAT, **asdict(sample)})


def load(path: Path) -> AuditSample:
    """Read a sample.

    Raises:
        ValueError: the file is missing or no sample.
    """
    record: Any = read_json(path)
    try:
        if record.pop("format") != FORMAT:
            raise ValueError("format")
        strata = tuple(Stratum(**stratum) for stratum in record.pop("strata"))
        return AuditSample(**{**record, "strata": strata, "tiles": tuple(record["tiles"])})
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError(f"{path} is no sample of an audit.") from None
