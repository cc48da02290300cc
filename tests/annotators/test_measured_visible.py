"""What a pixel size can show."""

import numpy as np
import pytest

from knowlip.annotators.measured.visible import COARSE_FROM_M, LIMITS, Visibility, is_coarse, seen_metres, visible
from knowlip.annotators.types import TileRequest
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES

METRES = (0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 30.0)
ORDER = (Visibility.SAID, Visibility.HEDGED, Visibility.HIDDEN)


def request(metres: float, resolution: float | None, detail: int | None = None) -> TileRequest:
    tile = np.ones((128, 128), np.uint8)
    fine = None if detail is None else np.ones((detail, detail), np.uint8)
    return TileRequest("t", tile, metres, "large", "s", "C", 0.0, 0.0, detail=fine, resolution_m=resolution)


@pytest.mark.parametrize("claim", LIMITS)
def test_coarser_pixels_never_show_more_and_larger_things_never_less(claim):
    for size in (None, 5.0, 17.0, 40.0, 150.0, 400.0):
        ranks = [ORDER.index(visible(claim, metres, size)) for metres in METRES]
        assert ranks == sorted(ranks)
    for metres in METRES:
        ranks = [ORDER.index(visible(claim, metres, size)) for size in (5.0, 17.0, 40.0, 150.0, 400.0)]
        assert ranks == sorted(ranks, reverse=True)


@pytest.mark.parametrize("metres", [10.0, 20.0, 30.0])
def test_sentinel_pixels_show_no_aircraft_types_or_single_buildings(metres):
    longest = max(kind.length_m[1] for kind in (*AIRCRAFT_TYPES, *SHIP_TYPES))
    single = ("building", "road", "runway", "field", "wood")
    for claim in LIMITS:
        if claim.startswith("aircraft") or claim.endswith(("-type", "-length", "-shape")) or claim in single:
            assert visible(claim, metres, longest) is Visibility.HIDDEN, claim


def test_large_ships_are_hedged_points_at_ten_metres_and_small_ones_are_left_out():
    assert visible("ship", 10.0, 150.0) is Visibility.HEDGED
    assert visible("ship", 10.0, 15.0) is Visibility.HIDDEN
    assert visible("ship", 1.0, 150.0) is Visibility.SAID


def test_a_business_jet_needs_fine_pixels():
    assert visible("aircraft", 0.2, 17.0) is Visibility.SAID
    assert visible("aircraft-type", 2.0, 17.0) is not Visibility.SAID
    assert visible("aircraft", 7.0, 17.0) is Visibility.HIDDEN


def test_water_is_always_told_where_it_is_wide():
    assert visible("water", 10.0, 1000.0) is Visibility.SAID
    assert visible("water", 30.0, 50.0) is Visibility.HIDDEN


def test_interpolated_pixels_show_no_more_than_the_scene():
    assert seen_metres(request(4.0, 10.0)) == 10.0
    assert seen_metres(request(4.0, 1.0)) == 4.0
    assert seen_metres(request(4.0, 1.0, detail=512)) == 1.0
    assert seen_metres(request(4.0, 3.0, detail=512)) == 3.0
    assert seen_metres(request(4.0, None)) == 4.0
    assert is_coarse(request(1.0, COARSE_FROM_M))
    assert not is_coarse(request(4.0, 3.0))


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="no claim 'tree'"):
        visible("tree", 1.0)
    with pytest.raises(ValueError, match="positive"):
        visible("ship", 0.0)
    with pytest.raises(ValueError, match="positive"):
        visible("ship", 1.0, -5.0)
