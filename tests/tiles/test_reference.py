"""The reference set: votes by brute force, blind to the order of rows, refused when broken."""

import json

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from knowlip.tiles.reference import VOTED, Reference, load_reference, read_reference, write_reference


def some(count=60, seed=0):
    random = np.random.default_rng(seed)
    features = random.uniform(0, 5, (count, len(VOTED)))
    return features, random.random(count) < 0.5, tuple(f"scene-{i}" for i in range(count))


def test_nearest_like_scikit_learn():
    features, good, sources = some()
    reference = Reference(features, good, sources)
    found = NearestNeighbors(n_neighbors=7, algorithm="brute").fit(reference._standard)
    for point in some(20, 1)[0]:
        shaped = point.copy()
        for name in ("q_std", "q_edge", "g_contrast", "g_dissimilarity"):
            shaped[VOTED.index(name)] = np.log1p(point[VOTED.index(name)])
        mean, deviation = reference._scale
        wanted = found.kneighbors([(shaped - mean) / deviation])[1][0]
        assert reference.nearest(point, 7).tolist() == wanted.tolist()
        assert reference.vote(point, 7) == reference.good[wanted].mean()


def test_order_of_rows_does_not_matter_even_with_ties():
    features, good, sources = some()
    features = np.round(features)  # many equal distances
    features[30:] = features[:30]
    order = np.random.default_rng(3).permutation(60)
    one = Reference(features, good, sources)
    other = Reference(features[order], good[order], tuple(sources[i] for i in order))
    for point in np.round(some(50, 2)[0]):
        assert one.vote(point, 9) == other.vote(point, 9)


def test_round_trip_and_the_shipped_set(tmp_path):
    features, good, sources = some()
    write_reference(tmp_path / "mine.json", Reference(np.round(features, 6), good, sources), {"quantiser": "x"})
    again = read_reference(tmp_path / "mine.json")
    np.testing.assert_array_equal(again.features, Reference(np.round(features, 6), good, sources).features)
    shipped = load_reference()
    assert 0.3 < shipped.good.mean() < 0.7
    assert len(shipped.good) > 300


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(format="other"),
        lambda d: d["samples"][0].update(label="fine"),
        lambda d: d["samples"][0].update(values=[1.0]),
        lambda d: d["samples"][0]["values"].__setitem__(0, float("nan")),
        lambda d: d.pop("samples"),
        lambda d: [s.update(label="good") for s in d["samples"]],
    ],
)
def test_broken_files_are_refused(tmp_path, change):
    write_reference(tmp_path / "mine.json", Reference(*some()), {})
    document = json.loads((tmp_path / "mine.json").read_text())
    change(document)
    (tmp_path / "mine.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"mine\.json is not (a quality reference|valid JSON)"):
        read_reference(tmp_path / "mine.json")
