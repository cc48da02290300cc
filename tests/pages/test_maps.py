"""Maps of pages: places stand where they are, bars are as long as they say, the coast is where a point on land is."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Geod

from knowlip.benchmark.report.places import _middle
from knowlip.pages.charts import SPLIT_COLOURS
from knowlip.pages.maps import MapMark, apart, land_within, points_map, scale_bar_km, world_map
from knowlip.tiles.cities_map import _frame, _projection, _window


def numbers(path: str) -> np.ndarray:
    return np.array([float(one) for one in re.findall(r"-?\d+\.?\d*", path)]).reshape(-1, 2)


def drawn(markup: str) -> list[ElementTree.Element]:
    """The charts of a page."""
    return list(ElementTree.fromstring(f"<p>{markup}</p>"))


def test_marks_lie_apart_and_as_near_as_they_can() -> None:
    rng = np.random.default_rng(0)
    places = np.concatenate([rng.uniform(0, 500, (30, 2)), np.full((12, 2), 250.0)])
    spots = apart(places, 8, (0, 0, 500, 500))
    gaps = np.linalg.norm(spots[:, None] - spots[None], axis=2) + np.eye(len(spots)) * 1e9
    assert gaps.min() >= 16
    alone = [at for at in range(len(places)) if np.sort(np.linalg.norm(places - places[at], axis=1))[1] > 120]
    assert np.array_equal(spots[alone], places[alone]), "what nothing lies near has not moved"
    assert np.linalg.norm(spots[30:] - 250, axis=1).max() < 8 * 16


@pytest.mark.parametrize("width", [0.7, 3.0, 41.0, 999.0, 5000.0])
def test_scale_bars_are_round_and_fit(width: float) -> None:
    length = scale_bar_km(width)
    assert width / 8 < length <= width / 3
    assert f"{length:.0e}"[0] in "125"


@pytest.mark.parametrize(("lon", "lat"), [(4.0, 52.0), (-70.0, -33.0), (179.5, 0.0), (20.0, 78.0)])
def test_a_scale_bar_is_as_long_as_it_says(lon: float, lat: float) -> None:
    markup = points_map([(1, lon, lat), (2, (lon + 1.5 + 180) % 360 - 180, lat)])
    _, _, metres = Geod(ellps="WGS84").inv(lon, lat, lon + 1.5, lat)
    for chart in drawn(markup):
        texts = {one.text: one for one in chart.iter("text")}
        x1, x2 = (float(texts[name].get("x") or numbers(texts[name].get("transform", ""))[0][0]) for name in "12")
        told = next(text for text in texts if re.fullmatch(r"[\d.]+ k?m", str(text)))
        bar = next(p for p in chart.iter("path") if "stroke-width: 1.4" in p.get("style", ""))
        units = np.ptp(numbers(bar.get("d", ""))[:, 0])
        km = float(str(told).split()[0]) / (1 if str(told).endswith("km") else 1000)
        assert units / km == pytest.approx((x2 - x1) / (metres / 1000), rel=0.02)


def test_the_coast_is_where_land_begins() -> None:
    def holds(rings: list[np.ndarray], lon: float, lat: float) -> bool:
        return any(shapely.Polygon(ring).contains(shapely.Point(lon, lat)) for ring in rings)

    rings = land_within(2, 50, 8, 54)
    assert holds(rings, 5.1, 52.1), "Utrecht"
    assert not holds(rings, 3.0, 53.0), "the North Sea"
    beyond = land_within(176, -20, 190, -12)
    assert holds(beyond, 178.0, -17.8), "Viti Levu"
    assert holds(beyond, 360 - 171.75, -13.9), "Upolu, on the other side of the date line"
    assert land_within(-140, -40, -139, -39) == []


def test_places_of_the_world_stand_where_they_are() -> None:
    marks = [MapMark("a", 10.0, 50.0, {"train": 3, "test": 1}), MapMark("b", 10.2, 50.0, {"train": 2})]
    marks += [MapMark("c", -60.0, -30.0, {"val": 1}), MapMark("nowhere", float("nan"), float("nan"), {"val": 1})]
    wide, narrow = drawn(world_map(marks, SPLIT_COLOURS))
    for chart in (wide, narrow):
        width, height = numbers(chart.get("viewBox", "")).ravel()[2:]
        titles = {title.text for title in chart.iter("title")}
        assert any("1 a: 3 train, 1 test" in str(one) for one in titles)
        # The second one has given way: a dot and a line tell where it is.
        lines = [numbers(p.get("d", "")) for p in chart.iter("path") if "stroke-width: 0.9" in p.get("style", "")]
        true = np.array([(10.2 + 180) / 360 * width, (84 - 50) / 144 * height])
        assert min(np.linalg.norm(end - true) for line in lines for end in line) < 0.6
        assert "3 places" in str(chart.get("aria-label"))


def test_tiles_on_both_sides_of_the_date_line_have_their_middle_there() -> None:
    lon, lat = _middle(pd.DataFrame({"lon": [179.9, -179.9, None], "lat": [10.0, 12.0, None]}))
    assert abs(lon) == pytest.approx(180)
    assert lat == 11
    assert np.isnan(_middle(pd.DataFrame({"lon": [None], "lat": [None]}, dtype=float))).all()


@pytest.mark.parametrize("lons", [[4.0, 10.0, -3.0], [178.0, -172.0, 175.0]])
def test_a_regional_map_of_cities_asks_for_the_land_that_it_shows(lons: list[float]) -> None:
    lats = np.array([-18.0, -14.0, -37.0] if lons[0] > 90 else [52.0, 48.0, 43.0])
    project, back, world = _projection(np.array(lons), lats)
    assert not world
    frame = _frame(project, world, *project(lons, lats))
    left, bottom, right, top = _window(back, frame)
    assert right - left < 120
    corners = [(frame[0], frame[1]), (frame[2], frame[1]), (frame[2], frame[3]), (frame[0], frame[3])]
    for (x, y), _ in pairwise([*corners, corners[0]]):
        lon, lat = back(x, y)
        assert any(left <= lon + turn <= right for turn in (-360, 0, 360))
        assert bottom <= lat <= top
