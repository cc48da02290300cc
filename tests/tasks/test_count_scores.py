"""From which score boxes count."""

import numpy as np
import pandas as pd
import pytest

from knowlip.tasks.count_scores import ENTRY, count_scores, read_count_scores


def _tables() -> tuple[pd.DataFrame, pd.DataFrame, dict[str, float]]:
    """A detector that is shy at 4 m (right boxes score 0.3 to 0.5) and bold at 1 m (wrong ones score up to 0.6)."""
    rng = np.random.default_rng(0)
    found, truth, metres = [], [], {}
    for number in range(40):
        tile, coarse = f"t{number}", number % 2 == 1
        metres[tile] = 4.0 if coarse else 1.0
        truth.append({"tile_id": tile, "category": "ship", "ignored": False})
        right = rng.uniform(0.3, 0.5) if coarse else rng.uniform(0.7, 0.9)
        wrong = rng.uniform(0.05, 0.25) if coarse else rng.uniform(0.4, 0.6)
        found += [{"tile_id": tile, "category": "ship", "score": score} for score in (right, wrong)]
    truth.append({"tile_id": "t0", "category": "ship", "ignored": True})
    return pd.DataFrame(found), pd.DataFrame(truth), metres


def test_as_many_boxes_as_objects_count_at_each_pixel_size() -> None:
    found, truth, metres = _tables()
    scores = read_count_scores({ENTRY: count_scores(found, truth, metres, {tile: tile for tile in metres})}, None)
    assert scores.measured
    for size in (1.0, 4.0):
        part = found[[metres[tile] == size for tile in found["tile_id"]]]
        assert len(scores.counted(part, size)) == 20
        # A fixed score is wrong by a factor: all at 1 m that are above, none at 4 m.
        assert len(part[part["score"] >= 0.5]) != 20
    assert scores.least("ship", 1.2) > 0.6 > 0.3 > scores.least("ship", 3.5)


def test_few_objects_and_unknown_sizes_take_the_score_of_the_class() -> None:
    found, truth, metres = _tables()
    metres = dict.fromkeys(metres, float("nan"))
    scores = read_count_scores({ENTRY: count_scores(found, truth, metres, dict.fromkeys(metres, "one"))}, None)
    assert [one.octave for one in scores.known] == [None]
    assert len(scores.counted(found, None)) == 40
    assert scores.least("ship", 16.0) == scores.least("ship", None)


def test_a_user_asks_for_another_and_old_cards_say_none() -> None:
    found = pd.DataFrame({"category": ["ship", "aircraft"], "score": [0.45, 0.55]})
    asked = read_count_scores({}, 0.4)
    assert not asked.measured
    assert len(asked.counted(found, 1.0)) == 2
    assert asked.said(["ship", "aircraft"], 1.0) == 0.4
    old = read_count_scores({}, None)
    assert not old.measured
    assert old.counted(found, 1.0)["category"].tolist() == ["aircraft"]
    assert not len(old.counted(found.iloc[:0], 1.0))


def test_classes_have_their_own() -> None:
    card = [{"category": name, "octave": None, "score": score, "there": 9} for name, score in (("a", 0.2), ("b", 0.8))]
    scores = read_count_scores({ENTRY: card}, None)
    found = pd.DataFrame({"category": ["a", "b", "a"], "score": [0.3, 0.7, 0.1]})
    assert scores.counted(found, 2.0).index.tolist() == [0]
    assert scores.said(["a", "b"], 2.0) == "a 0.2, b 0.8"


@pytest.mark.parametrize(
    "said",
    [
        3,
        [3],
        [{"category": "a"}],
        [{"category": "a", "octave": None, "score": 7, "there": 1}],
        [{"category": "a", "octave": float("inf"), "score": 0.5, "there": 1}],
    ],
)
def test_a_broken_card_is_refused(said: object) -> None:
    with pytest.raises(ValueError, match="not sound"):
        read_count_scores({ENTRY: said}, None)


def test_scenes_without_objects_weigh_as_much_as_others() -> None:
    """One harbour with ten ships of which low scores find all, nine empty scenes with a false box each at those scores:
    balanced totals would count all nineteen right down to 0.2."""
    found = [{"tile_id": "harbour", "category": "ship", "score": score} for score in np.linspace(0.9, 0.45, 10)]
    found += [{"tile_id": f"empty{number}", "category": "ship", "score": 0.4} for number in range(9)]
    truth = pd.DataFrame({"tile_id": ["harbour"] * 10, "category": "ship", "ignored": False})
    tiles = {"harbour", *(f"empty{number}" for number in range(9))}
    card = count_scores(pd.DataFrame(found), truth, dict.fromkeys(tiles, 1.0), {tile: tile for tile in tiles})
    scores = read_count_scores({ENTRY: card}, None)
    assert 0.4 < scores.least("ship", 1.0) < 0.45


def test_classes_that_the_card_does_not_know_are_named() -> None:
    card = {ENTRY: [{"category": "ship", "octave": None, "score": 0.2, "there": 9}]}
    assert read_count_scores(card, None).unmeasured(["ship", "aircraft"]) == ["aircraft"]
    assert read_count_scores(card, 0.4).unmeasured(["ship", "aircraft"]) == []


def test_boxes_without_a_number_decide_no_score(capsys: pytest.CaptureFixture[str]) -> None:
    truth = pd.DataFrame({"tile_id": ["a"] * 2, "category": "ship", "ignored": False})
    sound = pd.DataFrame({"tile_id": ["a"] * 3, "category": "ship", "score": [0.9, 0.8, 0.1]})
    broken = pd.concat([sound.assign(score=float("nan")), sound], ignore_index=True)
    ways = {"a": 3.0}, {"a": "s"}
    wanted = count_scores(sound, truth, *ways)
    assert count_scores(broken, truth, *ways) == wanted
    assert wanted[0]["score"] == 0.45
    assert "3 boxes have no number for a score" in capsys.readouterr().err
