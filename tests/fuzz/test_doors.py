"""Spoilt inputs through every door, a few each: `python -m benchmarks.fuzz --seconds N` tries more."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.doors import DOORS
from tests.fuzz.frame import Door, enter

EXAMPLES = 6
"""Of a door; the whole file shall take no more than a minute."""


@pytest.fixture(scope="module", params=DOORS, ids=[door.name for door in DOORS])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Door, Path, Path]:
    door: Door = request.param
    folder = tmp_path_factory.mktemp("sound")
    door.prepare(folder)
    return door, folder, tmp_path_factory.mktemp("work")


def test_a_sound_input_comes_through(sound: tuple[Door, Path, Path]) -> None:
    # A door whose sound input is refused (a flag that is no more) tries nothing behind it, and every spoilt one passes.
    door, folder, work = sound
    calm = door._replace(attack=lambda copy, chance: "nothing")
    codes = []
    while 0 not in codes and len(codes) < (2 if door.name == "settings" else 8):
        outcome = enter(calm, folder, random.Random(len(codes)), work)
        assert not outcome.fault, f"{door.name}: {outcome.fault}"
        codes.append(outcome.code)
    if door.name == "settings":  # they are read, and then there are no scenes and no data set
        assert codes == [2, 2]
    else:
        assert codes[-1] == 0


def test_a_spoilt_input_ends_with_a_sentence(sound: tuple[Door, Path, Path]) -> None:
    door, folder, work = sound

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(st.randoms(use_true_random=True))
    def spoilt(chance: random.Random) -> None:
        outcome = enter(door, folder, chance, work)
        assert not outcome.fault, f"{door.name}, {outcome.how}: {outcome.fault}"

    spoilt()
