"""Spoilt inputs through every door, a few each: `python -m benchmarks.fuzz --seconds N` tries more."""

import os
import random
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.doors import DOORS
from tests.fuzz.frame import MOST_BYTES, Door, chance_of, enter, enter_several

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


def _odd(folder: Path, out: Path, chance: random.Random) -> int:
    """What goes wrong in every way, by number."""
    number = int((folder / "number").read_text())
    if number == 1:
        raise KeyError("a")
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3:
        (out.parent.parent / "beside").touch()
    if number == 4:
        np.ones(MOST_BYTES + (1 << 28), np.uint8)
    if number == 5:
        return 3
    print("a sentence", file=sys.stderr)
    return 2


def test_one_child_finds_what_a_child_of_its_own_finds(tmp_path: Path) -> None:
    def attack(folder: Path, chance: random.Random) -> str:
        number = next(one for one in range(9) if chance.getstate() == chance_of(door, one).getstate())
        (folder / "number").write_text(str(number))
        return str(number)

    door = Door("odd", lambda folder: None, attack, _odd)
    (tmp_path / "sound").mkdir()
    (tmp_path / "work").mkdir()
    together = enter_several(door, tmp_path / "sound", range(9), tmp_path / "work")
    alone = [enter(door, tmp_path / "sound", chance_of(door, one), tmp_path / "work") for one in range(9)]
    assert [one.how for one in together] == [str(one) for one in range(9)]
    assert [one.code for one in together] == [one.code for one in alone]
    assert [bool(one.fault) for one in together] == [bool(one.fault) for one in alone]
    assert [bool(one.fault) for one in together] == [False, *[True] * 5, *[False] * 3]
