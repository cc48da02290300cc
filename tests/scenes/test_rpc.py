"""RPCs against GDAL, in both directions, with heights; what is missing is named."""

import numpy as np
import pytest
from pyproj import Geod
from rasterio.rpc import RPC
from rasterio.transform import RPCTransformer

from knowlip.scenes import SceneOverrides, open_scene
from knowlip.scenes.errors import DamagedProduct
from knowlip.scenes.rpc import Rpc
from tests.scenes.products.geotiff import make, rpcs

GEOD = Geod(ellps="WGS84")
COLUMNS, ROWS = 9000, 7000


def gdal():
    return RPC(**{key.lower(): value for key, value in rpcs(COLUMNS, ROWS).items()}, err_bias=0, err_rand=0)


@pytest.mark.parametrize("height", [None, 20.0, 350.0])
def test_gdal_agrees(height):
    ours = Rpc.of(rpcs(COLUMNS, ROWS), height)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, COLUMNS, 60), rng.uniform(0, ROWS, 60)
    lons, lats = ours.forward(x, y)
    heights = np.full(60, 20.0 if height is None else height)
    with RPCTransformer(gdal(), RPC_PIXEL_ERROR_THRESHOLD=1e-6, RPC_MAX_ITERATIONS=50) as transformer:
        their_lons, their_lats = transformer.xy(y, x, zs=heights, offset="ul")
        rows, columns = transformer.rowcol(lons, lats, zs=heights, op=lambda value: value)
    assert GEOD.inv(lons, lats, their_lons, their_lats)[2].max() < 0.01  # metres, of pixels of 10 m
    np.testing.assert_allclose(columns, x, atol=1e-3)
    np.testing.assert_allclose(rows, y, atol=1e-3)


def test_there_and_back():
    ours = Rpc.of(rpcs(COLUMNS, ROWS))
    x, y = np.meshgrid(np.linspace(0, COLUMNS, 8), np.linspace(0, ROWS, 5))
    back_x, back_y = ours.inverse(*ours.forward(x, y))
    np.testing.assert_allclose(back_x, x, atol=1e-4)
    np.testing.assert_allclose(back_y, y, atol=1e-4)


def test_across_the_antimeridian():
    values = {**rpcs(COLUMNS, ROWS), "LONG_OFF": 179.99}
    ours = Rpc.of(values)
    lons, _ = ours.forward(np.array([0.0, COLUMNS]), np.array([0.0, 0.0]))
    here = ours.inverse(np.array([-179.999]), np.array([31.0]))
    there = ours.inverse(np.array([180.001]), np.array([31.0]))
    assert lons.max() > 180
    np.testing.assert_allclose(here, there, atol=1e-6)


def test_a_file_with_rpcs(tmp_path):
    product = make(tmp_path, "rpc")
    scene = open_scene(product.path)
    assert scene.geometry.kind == "rpc"
    x, y = np.meshgrid(np.linspace(0, 80, 5), np.linspace(0, 60, 4))
    assert GEOD.inv(*scene.to_lonlat(x, y), *product.truth(x, y))[2].max() < 0.1
    shifted = open_scene(product.path, SceneOverrides(height_m=520.0))
    assert GEOD.inv(*scene.to_lonlat(x, y), *shifted.to_lonlat(x, y))[2].min() > 1  # relief displaces


def test_texts_of_numbers():
    values = rpcs(COLUMNS, ROWS)
    texts = {
        key: " ".join(map(repr, map(float, value))) if isinstance(value, list) else f"{value} pixels"
        for key, value in values.items()
    }
    a, b = Rpc.of(values), Rpc.of(texts)
    np.testing.assert_allclose(
        a.inverse(np.array([121.5]), np.array([31.0])), b.inverse(np.array([121.5]), np.array([31.0]))
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"LINE_OFF": None}, "no LINE_OFF"),
        ({"LINE_NUM_COEFF": [1.0] * 19}, "20 coefficients"),
        ({"LAT_SCALE": 0.0}, "zero"),
    ],
)
def test_what_is_missing_is_named(changes, words):
    values = {key: value for key, value in {**rpcs(COLUMNS, ROWS), **changes}.items() if value is not None}
    with pytest.raises(DamagedProduct, match=words):
        Rpc.of(values)
