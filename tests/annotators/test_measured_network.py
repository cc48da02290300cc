"""The annotator's network, what is read from its densities, and which pixels it looks at."""

import numpy as np
import pytest

from knowlip.annotators.measured import network
from knowlip.annotators.measured.cover import Cover, classify
from knowlip.annotators.measured.evidence import Target
from knowlip.annotators.measured.locate import Located, expected, locate, regions_of
from knowlip.annotators.measured.measure import look, measure
from knowlip.annotators.measured.statistics import NUMBERS, SOME, STATISTICS, TOTAL, describe
from knowlip.annotators.types import TileFrame, TileWindow
from knowlip.base.vocabulary import LAND_COVER, SHIP_TYPES, region_of


def noise_image(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.clip(np.random.default_rng(seed).normal(120, 30, shape), 1, 255).astype(np.uint8)


def test_planes_show_every_pixel_once() -> None:
    image = noise_image((64, 64))
    image[:, 60:] = 0
    planes = network.planes(image, 2.0)
    assert planes.shape == (network.CHANNELS, 32, 32)
    back = np.zeros((64, 64), np.float32)
    for number, (row, col) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        back[row::2, col::2] = planes[number]
    np.testing.assert_allclose(back[:, :60] * 64 + 128, image[:, :60])
    assert not back[:, 60:].any()
    assert set(np.unique(planes[4])) == {0.0, 1.0}
    assert np.ptp(planes[5]) == 0
    assert planes[5, 0, 0] != network.planes(image, 4.0)[5, 0, 0]


@pytest.mark.parametrize("shape", [(256, 256), (100, 256), (33, 70), (500, 320)])
def test_outputs_cover_the_pixels(shape: tuple[int, int]) -> None:
    out = network.run(noise_image(shape), 2.0)
    for name, channels in network.HEADS.items():
        assert out[name].shape == (-(-shape[0] // 4), -(-shape[1] // 4), channels)
        assert np.isfinite(out[name]).all()


def test_padding_is_no_data_and_changes_nothing_far_away() -> None:
    image = noise_image((128, 128))
    wider = np.zeros((128, 320), np.uint8)
    wider[:, :128] = image
    alone, beside = network.run(image, 2.0), network.run(wider, 2.0)
    np.testing.assert_allclose(beside["cover"][:, :8], alone["cover"][:, :8], atol=1.0)


def test_the_network_is_small_and_quick_to_load() -> None:
    path = network.Path(network.__file__).with_name("weights.onnx")
    assert path.stat().st_size < 900_000


def test_posteriors_are_probabilities_and_nodata_stays_out() -> None:
    image = noise_image((256, 256))
    image[:, :128] = 0
    cover = classify(image, 2.0)
    np.testing.assert_allclose(sum(cover.posterior.values())[:, 32:], 1.0, rtol=1e-4)
    assert (cover.codes[:, :32] == 0).all()
    assert (cover.codes[:, 32:] > 0).all()
    assert not cover.rates[:, :32].any()
    assert set(cover.posterior) == set(LAND_COVER.values()) - {"nodata"}


def test_coarse_pixels_show_no_narrow_cover() -> None:
    cover = classify(noise_image((256, 256)), 10.0)
    assert max(float(cover.posterior[name].max()) for name in ("runway", "apron", "road", "quay")) < 0.01


def planted(at: list[tuple[int, int, float]], length_m: float = 12.0) -> Cover:
    """No cover to speak of, ships of one length, heading north-east, in some 4 m cells (row, column, number)."""
    rates, sizes, types = np.zeros((32, 32, 2)), np.zeros((32, 32, 4)), np.zeros((32, 32, 10))
    types[..., 3] = types[..., 8] = 1.0
    for row, col, rate in at:
        rates[row, col, 0] = rate
    sizes[..., 0], sizes[..., 1], sizes[..., 2:] = np.log(length_m / 50), np.log(length_m / 100), (0.0, 1.0)
    cover = dict.fromkeys(set(LAND_COVER.values()) - {"nodata"}, np.full((32, 32), 0.1, np.float32))
    return Cover(np.ones((32, 32), np.uint8), cover, {}, 4.0, rates, sizes, types, 1.0)


def test_targets_lie_where_the_density_is() -> None:
    cover = planted([(0, 0, 0.9), (31, 31, 1.0), (10, 20, 0.5), (10, 21, 0.4)])
    assert expected(cover, "ship") == pytest.approx(2.8)
    found = locate(cover, "ship")
    places = sorted((int(place.target.x * 32), int(place.target.y * 32)) for place in found)
    assert places == [(0, 0), (20, 10), (31, 31)]
    assert sum(place.target.certainty for place in found) == pytest.approx(2.8)
    assert found[0].target.length_m == pytest.approx(12.0)
    assert found[0].target.heading_deg == pytest.approx(45.0)
    assert locate(cover, "aircraft") == []


def test_a_hull_holds_one_ship() -> None:
    # Three peaks on the diagonal that a ship of 80 m lies on are one ship; off its axis they are others.
    along = [(19, 11, 0.5), (16, 14, 0.6), (13, 17, 0.4)]
    (ship,) = locate(planted(along, 80.0), "ship")
    assert ship.target.certainty == pytest.approx(1.0)
    assert {place.target.type for place in locate(planted(along, 80.0), "ship")} <= {kind.name for kind in SHIP_TYPES}
    assert len(locate(planted([(10, 10, 0.6), (16, 16, 0.5), (22, 22, 0.4)], 80.0), "ship")) == 3


def placed(points: list[tuple[float, float, float]]) -> list[Located]:
    out = []
    for x, y, certainty in points:
        regions = np.zeros(9, np.float32)
        regions[region_of(x, y)] = 1.0
        target = Target("ship", x, y, 30.0, 8.0, 0.0, "fishing boat", certainty)
        out.append(Located(target, regions, np.full(5, 0.2, np.float32)))
    return out


def test_regions_are_those_of_most_targets() -> None:
    regions, sure = regions_of(placed([(0.1, 0.1, 1.0)]))
    assert (regions, sure) == ((0,), 1.0)
    regions, sure = regions_of(placed([(0.1, 0.1, 1.0)] * 5 + [(0.9, 0.9, 1.0)] * 2))
    assert 0 in regions
    assert sure == 1.0
    # Whichever of two is there, and if both are, half of two regions hold one and all targets lie in them.
    assert regions_of(placed([(0.1, 0.1, 0.5), (0.9, 0.9, 0.4)])) == ((0, 8), 1.0)
    regions, sure = regions_of(placed([(x, y, 0.3) for x in (0.1, 0.5, 0.9) for y in (0.1, 0.5, 0.9)]))
    assert 0.1 < sure < 1.0


def test_numbers_of_independent_places_against_enumeration() -> None:
    certain = [0.9, 0.5, 0.3]
    values = describe(planted([(3, 3, 0.9)]), "ship", placed([(0.2, 0.2, chance) for chance in certain]))
    assert values.shape == (STATISTICS,)
    chances = np.zeros(SOME + 1)
    for outcome in np.ndindex(2, 2, 2):
        weight = np.prod([chance if one else 1 - chance for one, chance in zip(outcome, certain)])
        chances[sum(outcome)] += weight
    np.testing.assert_allclose(np.exp(values[NUMBERS]) - 1e-4, chances, atol=1e-5)
    assert np.exp(values[TOTAL]) - 0.05 == pytest.approx(1.7, rel=1e-5)


def test_detail_is_what_is_looked_at() -> None:
    image = noise_image((64, 64))
    detail = noise_image((256, 256), 1)
    assert measure(image, 4.0).metres_per_pixel == 4.0
    seen = look(image, 4.0, detail)
    assert seen.cover.metres_per_pixel == 1.0
    assert seen.window_m == 256.0
    np.testing.assert_array_equal(seen.cover.rates, look(detail, 1.0).cover.rates)


@pytest.mark.parametrize(("side", "metres", "seen_at"), [(400, 0.25, 1.0), (2048, 1.0, 2.0), (100, 3.0, 3.0)])
def test_fine_and_large_images_are_averaged(side: int, metres: float, seen_at: float) -> None:
    cover = look(noise_image((side, side)), metres).cover
    assert cover.metres_per_pixel == pytest.approx(seen_at)
    assert cover.width_m == pytest.approx(side * metres, rel=0.05)


def test_a_window_of_a_frame_is_seen_as_the_frame_is() -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(20, 220, (256, 256)).astype(np.uint8)
    frame = TileFrame(pixels, 1.0)
    whole = look(pixels, 1.0, None, TileWindow(frame, slice(0, 256), slice(0, 256)))
    alone = look(pixels, 1.0)
    np.testing.assert_array_equal(whole.cover.rates, alone.cover.rates)
    part = look(pixels[64:128, 128:256], 1.0, None, TileWindow(frame, slice(64, 128), slice(128, 256)))
    np.testing.assert_array_equal(part.cover.rates, whole.cover.rates[16:32, 32:64])
    assert list(frame.seen) == ["network"], "the network runs once a frame"
    odd = look(pixels[1:65, 1:65], 1.0, None, TileWindow(frame, slice(1, 65), slice(1, 65)))
    np.testing.assert_array_equal(odd.cover.rates, look(pixels[1:65, 1:65], 1.0).cover.rates)
