"""Kinds of evidence against independent oracles: a model that knows the truth, passes by hand, counts."""

import numpy as np
import pandas as pd
import pytest

from knowlip.base.statistics import auroc
from knowlip.language.claims import parse_claims
from knowlip.language.facts import facts_of
from knowlip.scio.config import ScioConfig
from knowlip.scio.kinds import KINDS, Evidence, features_of, kinds_of
from knowlip.scio.neighbours import RelativeClaims
from knowlip.scio.thresholds import NEVER, NoiseModel, fit, noise_score, standardisation


def test_settings_name_features() -> None:
    assert features_of("deltas") == ("itc", "itm")
    assert features_of("nll+neighbours") == ("nll", "neighbours")
    assert kinds_of("neighbours+gain") == ("nll", "blind", "neighbours")
    assert set(kinds_of("all")) == set(KINDS)
    assert ScioConfig(evidence="nll+gain").evidence == "nll+gain"
    for wrong in ("nll+nll", "surprise", "nll+", ""):
        with pytest.raises(ValueError, match="joined by"):
            ScioConfig(evidence=wrong)


# ---- the combiner ---------------------------------------------------------------------------------------------------


def noise(rng: np.random.Generator, count: int) -> Evidence:
    """Evidence without meaning."""
    found = Evidence.empty(count)
    for kind in KINDS:
        setattr(found, kind, np.abs(rng.normal(5, 1, (count, 8))))
    return found


def test_a_model_that_knows_the_truth_is_believed_and_its_blind_twin_is_not() -> None:
    """The right image makes right words two nats likelier and wrong ones not; other images make no difference."""
    rng = np.random.default_rng(0)
    clean, injected = noise(rng, 200), noise(rng, 200)
    clean.nll = clean.blind - 2 + rng.normal(0, 0.05, (200, 8))
    injected.nll = injected.blind + rng.normal(0, 0.05, (200, 8))
    places = [(row, int(rng.integers(8))) for row in range(200)]
    sets = ["terrain"] * 200
    fresh, wrong = noise(rng, 300), rng.random((300, 8)) < 0.2
    fresh.nll = np.where(wrong, fresh.blind, fresh.blind - 2) + rng.normal(0, 0.05, (300, 8))
    twin = noise(rng, 300)
    twin.nll = twin.blind + rng.normal(0, 0.05, (300, 8))
    for evidence in ("gain", "nll+gain", "all"):
        model = fit(clean, sets, injected, places, ["swap"] * 200, evidence, 0.9)
        score = noise_score(model, fresh, ["terrain"] * 300)
        assert (auroc(score.ravel(), wrong.ravel()) or 0) > 0.99
        blind = auroc(noise_score(model, twin, ["terrain"] * 300).ravel(), wrong.ravel())
        assert blind == pytest.approx(0.5, abs=0.04)
        flagged = score > model.limits(["terrain"] * 300)
        assert wrong[flagged].mean() > 0.9
        assert flagged[wrong].mean() > 0.9
    alone = fit(clean, sets, injected, places, ["swap"] * 200, "neighbours", 0.9)
    assert auroc(noise_score(alone, fresh, ["terrain"] * 300).ravel(), wrong.ravel()) == pytest.approx(0.5, abs=0.04)


def test_dimensions_have_their_own_coefficients_and_thresholds() -> None:
    """Wrong texts have a high nll in slots 0-3, and surprise their relatives in 4-7."""
    rng = np.random.default_rng(1)
    clean, injected = noise(rng, 400), noise(rng, 400)
    half = np.arange(8) < 4
    injected.nll = np.where(half, injected.nll + 8, injected.nll)
    injected.neighbours = np.where(half, injected.neighbours, injected.neighbours + 6)
    places = [(row, row % 8) for row in range(400)]
    model = fit(clean, ["marine"] * 400, injected, places, ["swap"] * 400, "nll+neighbours", 0.8)
    own = model.coefficients(["marine"])[0, :, 1:]
    assert (own[:4, 0] > own[4:, 0].max()).all()
    assert (own[4:, 1] > own[:4, 1].max()).all()
    assert NoiseModel(**model.plain()) == model
    assert len(set(model.thresholds["marine"])) == 8
    assert model.limits(["marine", "ground"])[1].tolist() == [model.threshold] * 8
    given = fit(clean, ["marine"] * 400, injected, places, ["swap"] * 400, "nll+neighbours", 0.8, threshold=0.3)
    assert (given.limits(["marine"]) == 0.3).all()


def test_a_dimension_that_no_threshold_serves_is_left_alone() -> None:
    """Errors are found in all slots but the last: there nothing is flagged, elsewhere most of it."""
    rng = np.random.default_rng(2)
    clean, injected = noise(rng, 400), noise(rng, 400)
    injected.nll[:, :7] += 8
    places = [(row, row % 8) for row in range(400)]
    model = fit(clean, ["marine"] * 400, injected, places, ["swap"] * 400, "nll", 0.8)
    assert model.thresholds["marine"][7] == NEVER
    assert max(model.thresholds["marine"][:7]) < 1


def test_what_is_not_known_speaks_neither_way() -> None:
    rng = np.random.default_rng(3)
    found = noise(rng, 4)
    model = standardisation(found, ["marine"] * 4, "nll+neighbours")
    model.weights = [1.0, 1.0]
    found.neighbours[0, 0] = np.nan
    score = noise_score(model, found, ["marine"] * 4)
    whole = noise(np.random.default_rng(3), 4).neighbours / np.median(noise(np.random.default_rng(3), 4).neighbours)
    usual = np.clip(whole, -8, 8).mean()
    assert score[0, 0] == pytest.approx(1 / (1 + np.exp(-np.log1p(found.nll[0, 0]) - usual)))
    surprising, innocent = (np.full((4, 8), value) for value in (20.0, 0.0))
    for sign, value in ((1, surprising), (-1, innocent)):  # neither the worst nor the best of what is known
        found.neighbours[1:] = value[1:]
        rest = noise_score(model, found, ["marine"] * 4)
        found.nll[1, 0] = found.nll[0, 0]
        assert sign * (noise_score(model, found, ["marine"] * 4)[1, 0] - rest[0, 0]) > 0
    only = standardisation(found, ["marine"] * 4, "neighbours")
    only.weights = [1.0]
    assert np.isnan(noise_score(only, found, ["marine"] * 4)).sum() == 1


# ---- relatives ------------------------------------------------------------------------------------------------------


def test_facts_of_claims() -> None:
    claims = parse_claims("terrain", "Distribution", "fields on the left side and water in the lower right")
    assert facts_of(claims) == [
        "covers=field",
        "where=field@0",
        "where=field@3",
        "where=field@6",
        "covers=water",
        "where=water@8",
    ]
    count = [facts_of(parse_claims("marine", "Count", f"{number} ships are visible")) for number in (0, 1, 5, 7, 8)]
    assert count == [["count~0"], ["count~1"], ["count~3"], ["count~3"], ["count~4"]]
    assert facts_of(parse_claims("terrain", "Layout", "nice")) == []


def families(count: int, wrong: set[int]) -> tuple[pd.DataFrame, list[str], list[list[str]]]:
    """Families of a parent and four children; all of a family say the same of water, but those in `wrong`."""
    names, parents, roots, words = [], [], [], []
    for family in range(count):
        wet = family % 2 == 0
        for member in range(5):
            row = 5 * family + member
            names.append(f"{family:03}-{member}")
            parents.append("" if member == 0 else f"{family:03}-0")
            roots.append(f"{family:03}")
            said = [""] * 8
            said[7] = "Water is visible" if wet != (row in wrong) else "No water is visible"
            words.append(said)
    tiles = pd.DataFrame({"tile_id": names, "parent_id": parents, "root_id": roots})
    return tiles, ["terrain"] * len(names), words


def test_relatives_contradict_and_support_claims() -> None:
    wrong = {3, 21, 42, 64, 88}
    tiles, sets, words = families(40, wrong)
    neighbours = RelativeClaims(tiles, sets, words)
    surprise = np.array([neighbours.surprise(row, 7, words[row][7]) for row in range(len(sets))])
    assert auroc(surprise, np.isin(np.arange(len(sets)), list(wrong))) == 1.0
    # Planted: another claim than the tile's own is judged by the same relatives.
    assert neighbours.surprise(10, 7, "No water is visible") > neighbours.surprise(10, 7, "Water is visible")
    assert np.isnan(neighbours.surprise(10, 0, "")), "no claims"
    alone = tiles.assign(parent_id="")
    assert np.isnan(RelativeClaims(alone, sets, words).surprise(0, 7, words[0][7])), "no relatives"


def test_a_family_does_not_predict_itself() -> None:
    """Claims that only one family makes are surprising in it, however much its members agree."""
    tiles, sets, words = families(20, set())
    for row in range(5):
        words[row] = [*[""] * 6, "Several roads cross the scene", ""]
    neighbours = RelativeClaims(tiles, sets, words)
    assert neighbours.surprise(2, 6, words[2][6]) > 3
