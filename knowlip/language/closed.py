"""Closed questions that a readout answers about every tile, and what it looks for in each region: names alone, for
whatever must know them without numbers (:mod:`knowlip.language.groundings`)."""

from typing import Final, NamedTuple

from knowlip.base.vocabulary import AIRCRAFT_TYPES, LANDFORMS, REGIONS, SHIP_TYPES

MOST: Final = 21
"""The last answer to "how many": so many, or more."""
LENGTHS_M: Final = (15, 20, 25, 30, 40, 60, 80, 100, 130, 160, 200, 250, 320)
"""Lengths to choose from; each about a quarter more than the one before."""
PERCENT: Final = (0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
NONE: Final = "none"
FORMS: Final = (*LANDFORMS, "open land", NONE)


class Closed(NamedTuple):
    """A question with a closed list of answers."""

    name: str
    answers: tuple[str, ...]


HOLDS: Final = {name: f"holds {name}" for name in LANDFORMS}
"""Landform -> the question whether it has a tenth of the tile, as the question for all landforms asks."""
CLOSED: Final = (
    Closed("count", tuple(str(number) for number in range(MOST + 1))),
    Closed("region", REGIONS),
    Closed("type", tuple(kind.name for kind in (*SHIP_TYPES, *AIRCRAFT_TYPES))),
    Closed("length", tuple(str(length) for length in LENGTHS_M)),
    Closed("shape", ("compact", "elongated", "cross")),
    Closed("axis", ("0", "45", "90", "135")),
    Closed("pattern", ("single", "row", "cluster", "scattered")),
    Closed("open_water", ("no", "yes")),
    Closed("water", tuple(f"{share} %" for share in PERCENT)),
    Closed("grass", tuple(f"{share} %" for share in PERCENT)),
    Closed("pavement", tuple(f"{share} %" for share in PERCENT)),
    Closed("main", FORMS),
    Closed("second", FORMS),
    Closed("function", ("airport", "port", "farmland", "forest", "open water", "urban", "mixed")),
    Closed("layout", ("uniform", "two-part", "mosaic")),
    Closed("boundary", ("none", "left", "right", "above", "below")),
    Closed("one_side", FORMS),
    Closed("other_side", FORMS),
    Closed("buildings", ("none", "few", "some", "many")),
    Closed("roads", ("no", "yes")),
    *(Closed(name, ("no", "yes")) for name in HOLDS.values()),
)
"""What is asked of every tile. A trained readout answers the first so many (`model.readout_questions`): new ones come
last, and none goes."""
PLACES: Final = {question.name: place for place, question in enumerate(CLOSED)}
"""Name of a question -> its place."""
TYPES: Final = CLOSED[PLACES["type"]].answers
"""Of ships, then of aircraft."""

MAPPED: Final = (*LANDFORMS, "open land", "grass", "road", "ship", "aircraft")
"""Of what it is asked which of the nine regions hold it."""
