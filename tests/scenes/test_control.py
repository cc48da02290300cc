"""Control points on a swath of 250 km whose geometry is a closed form: order of the fit, inverse, gate, poles."""

import numpy as np
import pytest
from pyproj import Geod
from rasterio.control import GroundControlPoint
from rasterio.transform import GCPTransformer, from_gcps

from knowlip.scenes.control import ControlPoints, gate
from knowlip.scenes.errors import NoLocation, PoorGeolocation
from tests.scenes.swath import ground

GEOD = Geod(ellps="WGS84")
COLUMNS, ROWS = 25_000, 17_000
"""250 x 170 km of 10 m pixels, as a Sentinel-1 IW product."""


def grid(columns=21, rows=10):
    x, y = np.meshgrid(np.linspace(0, COLUMNS, columns), np.linspace(0, ROWS, rows))
    return x.ravel(), y.ravel()


def points(order=0, where=ground, **options):
    x, y = grid(**options)
    return ControlPoints(x, y, *where(x, y), order)


def miss(geometry, where=ground):
    """Distances to the truth in metres at places between the control points."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, COLUMNS, 400), rng.uniform(0, ROWS, 400)
    return GEOD.inv(*lonlat(geometry, x, y), *where(x, y))[2]


def lonlat(geometry, x, y):
    from pyproj import Transformer

    return Transformer.from_crs(geometry.crs, 4326, always_xy=True).transform(*geometry.forward(x, y))


def gcps():
    x, y = grid()
    return [GroundControlPoint(r, c, lon, lat) for c, r, lon, lat in zip(x, y, *ground(x, y))]


def test_one_affine_is_kilometres_off_and_the_spline_is_not():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, COLUMNS, 400), rng.uniform(0, ROWS, 400)
    plain = from_gcps(gcps()) @ (x, y)
    assert GEOD.inv(*plain, *ground(x, y))[2].max() > 1000  # one affine in degrees, as a careless reader has it
    assert miss(points(order=1)).max() > 100
    assert 3 < miss(points(order=2)).max() < 100
    assert miss(points(order=3)).max() < 3
    spline = points()
    assert spline.model == "thin-plate spline"
    assert miss(spline).max() < 0.5


def test_no_worse_than_gdal():
    """GDAL's spline through the same points works in degrees and without a polynomial before it."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, COLUMNS, 400), rng.uniform(0, ROWS, 400)
    with GCPTransformer(gcps(), tps=True) as transformer:
        theirs = GEOD.inv(*transformer.xy(y, x, offset="ul"), *ground(x, y))[2]
    assert miss(points()).max() < theirs.max()
    assert theirs.max() < 100  # both mean the same thing


@pytest.mark.parametrize(("columns", "rows"), [(10, 2), (2, 10), (4, 3), (5, 2)])
def test_few_rows_of_points_do_not_swing(columns, rows):
    """What two or three rows of points cannot tell is not made up: no more than the curvature is missed."""
    assert miss(points(columns=columns, rows=rows)).max() < 300


def test_the_residual_tells_the_truth():
    for order in (1, 2, 3):
        geometry = points(order=order)
        assert geometry.residual_m == pytest.approx(np.sqrt(np.mean(miss(geometry) ** 2)), rel=0.6)
    assert points().residual_m < 5


def test_there_and_back():
    for geometry in (points(), points(order=3), points(columns=3, rows=3), points(columns=2, rows=2)):
        rng = np.random.default_rng(1)
        x, y = rng.uniform(0, COLUMNS, (7, 9)), rng.uniform(0, ROWS, (7, 9))
        back_x, back_y = geometry.inverse(*geometry.forward(x, y))
        assert back_x.shape == x.shape
        np.testing.assert_allclose(back_x, x, atol=1e-3)
        np.testing.assert_allclose(back_y, y, atol=1e-3)


def test_many_points_are_fitted_by_a_polynomial():
    geometry = points(columns=50, rows=40)
    assert geometry.model == "polynomial of order 3"
    assert miss(geometry).max() < 10


def test_across_the_antimeridian():
    first, _ = ground(COLUMNS / 2, ROWS / 2)

    def where(x, y):
        return ground(x, y, node_deg=180 - float(first))

    geometry = points(where=where)
    lons = geometry.lons
    assert lons.min() < -178
    assert lons.max() > 178
    assert miss(geometry, where).max() < 1


def test_near_the_pole():
    """The northernmost part of the orbit lies at 82 N, and the right side of it is the north."""

    def where(x, y):
        return ground(x, y, near_m=450_000, start_s=1460)

    geometry = points(where=where)
    assert geometry.lats.min() > 84.5
    assert geometry.lats.max() > 87
    assert np.ptp(geometry.lons) > 40
    assert miss(geometry, where).max() < 0.5


def test_a_wrong_point_is_refused(tmp_path):
    good = points()
    gate(good, tmp_path, 10.0, 0)
    lats = good.lats.copy()
    lats[100] += 0.01  # 1.1 km in the interior
    bad = ControlPoints(good.columns, good.rows, good.lons, lats)
    assert bad.residual_m > 50
    with pytest.raises(PoorGeolocation, match="max_residual_m"):
        gate(bad, tmp_path, 10.0, 0)
    gate(bad, tmp_path, 10.0, 1000)


def test_a_point_given_twice_counts_once():
    once = points()
    twice = ControlPoints(*(np.tile(values, 2) for values in (once.columns, once.rows, once.lons, once.lats)))
    assert miss(twice).max() == pytest.approx(miss(once).max(), abs=1e-3)
    corners = points(columns=2, rows=2)
    thrice = ControlPoints(
        *(np.tile(values, 3) for values in (corners.columns, corners.rows, corners.lons, corners.lats))
    )
    assert thrice.model == "polynomial of order 1"


def test_too_few_or_on_a_line():
    with pytest.raises(NoLocation, match="too few"):
        ControlPoints(*np.zeros((4, 3)))
    line = np.arange(5.0)
    with pytest.raises(NoLocation, match="one line"):
        ControlPoints(line, line, line, line)
    with pytest.raises(NoLocation, match="not numbers"):
        ControlPoints(line, line**2, line, line * np.nan)
