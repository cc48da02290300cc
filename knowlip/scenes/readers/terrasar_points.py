"""Points of a TerraSAR-X product whose place, incidence angle and radar times are known, and surfaces through them.

Source: TerraSAR-X Level 1b Product Format Specification (TX-GS-DD-3307), annotation component GEOREF.xml and sceneInfo.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from xml.etree.ElementTree import Element

import numpy as np
from pyproj import Transformer

from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct, NoLocation
from knowlip.scenes.geometry import AffineGeometry
from knowlip.scenes.orbit import LIGHT_M_S
from knowlip.scenes.readers.relief import TerrainPoints, to_height
from knowlip.scenes.xml import need, need_number, need_text, number_at, text_of, time_of

_FULL = 16
"""Points from which on a surface is a cubic; below it is a plane with a twist and a curvature in range."""


@dataclass(frozen=True)
class Points:
    """All arrays (N,)."""

    columns: np.ndarray
    rows: np.ndarray  # Pixel coordinates, outer-corner convention.
    lons: np.ndarray
    lats: np.ndarray
    incidence_deg: np.ndarray
    seconds: np.ndarray  # Azimuth time after the scene's start.
    tau: np.ndarray  # Two-way range time in seconds.
    heights: np.ndarray  # Of the terrain above the ellipsoid.

    def at_height(self, height_m: float, look_azimuth_deg: float) -> "Points":
        """The points as they would be on a surface of constant height."""
        facts = self.lons, self.lats, self.heights, self.incidence_deg, self.tau * LIGHT_M_S / 2
        points = TerrainPoints(self.columns, np.round(self.rows, 3), *facts)
        lons, lats = to_height(points, look_azimuth_deg, height_m)
        return replace(self, lons=lons, lats=lats, heights=np.full(len(self.lons), height_m))

    def control_points(self) -> ControlPoints:
        return ControlPoints(self.columns, self.rows, self.lons, self.lats)

    def over(self, values: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """`values` at the points -> (rows, columns) at pixel coordinates, by a smooth surface through them."""
        center = np.array([self.columns.mean(), self.rows.mean()])
        scale = max(np.ptp(self.columns), np.ptp(self.rows), 1.0) / 2
        here = _terms((self.columns - center[0]) / scale, (self.rows - center[1]) / scale, len(values))
        level = values.mean()
        factors = np.linalg.lstsq(here, values - level, rcond=None)[0]
        x, y = np.meshgrid((columns - center[0]) / scale, (rows - center[1]) / scale)
        surface: np.ndarray = (_terms(x.ravel(), y.ravel(), len(values)) @ factors + level).reshape(x.shape)
        return surface


def _terms(x: np.ndarray, y: np.ndarray, count: int) -> np.ndarray:
    if count >= _FULL:
        return np.column_stack([x**i * y**j for i in range(4) for j in range(4 - i)])
    return np.column_stack([np.ones(len(x)), x, y, x * y, x**2])


def scene_points(main: Element, start: datetime, name: str) -> Points:
    """The scene's centre and corners from the main annotation. Their pixels count from 1; they are NaN where it names
    none, as of geocoded products (`refRow` and `refColumn` are optional in DLR's schema).

    Raises:
        DamagedProduct: a coordinate is absent.
    """
    scene = need(main, "productInfo/sceneInfo", name)
    elements = [need(scene, "sceneCenterCoord", name), *scene.findall("sceneCornerCoord")]
    if len(elements) < 5:
        raise DamagedProduct(f"{name} names {len(elements) - 1} corners of the scene; four are needed.")
    columns, rows = (
        np.array([number_at(element, key, np.nan) for element in elements]) for key in ("refColumn", "refRow")
    )
    keys = "lon lat incidenceAngle rangeTime".split()
    lons, lats, incidence, tau = (np.array([need_number(element, key, name) for element in elements]) for key in keys)
    times = [time_of(need_text(element, "azimuthTimeUTC", name), name) for element in elements]
    seconds = np.array([(time - start).total_seconds() for time in times])
    heights = np.full(len(seconds), number_at(scene, "sceneAverageHeight", 0.0))
    return Points(columns - 0.5, rows - 0.5, lons, lats, incidence, seconds, tau, heights)


def grid_points(georef: Element, main: Element, corners: Points, start: datetime, name: str) -> Points:
    """The geolocation grid of GEOREF.xml (the file `name`). Where it names no pixels (detected products) they follow
    from its times and the `corners` of the main annotation; they are NaN where neither names any.

    Raises:
        DamagedProduct: the grid is absent or incomplete.
    """
    grid = need(georef, "geolocationGrid", name)
    elements = grid.findall("gridPoint")
    placed = np.isfinite(corners.columns).all() and np.isfinite(corners.rows).all()
    if len(elements) < _FULL:
        raise DamagedProduct(f"{name} holds {len(elements)} grid points; that is not the grid of a scene.")
    reference = need(grid, "gridReferenceTime", name)
    shift = (time_of(need_text(reference, "tReferenceTimeUTC", name), name) - start).total_seconds()
    values = {key: np.array([need_number(e, key, name) for e in elements]) for key in ("t", "tau", "lon", "lat", "inc")}
    seconds = values["t"] + shift
    tau = values["tau"] + need_number(reference, "tauReferenceTime", name)
    heights = np.array([number_at(element, "height", 0.0) for element in elements])
    columns = np.array([number_at(element, "col", np.nan) for element in elements])
    rows = np.array([number_at(element, "row", np.nan) for element in elements])
    if np.isfinite(columns).all() and np.isfinite(rows).all():
        columns, rows = columns - (0.5 if columns.min() >= 1 else -0.5), rows - (0.5 if rows.min() >= 1 else -0.5)
    elif placed:
        columns, rows = _pixels(seconds, tau, main, corners, name)
    return Points(columns, rows, values["lon"], values["lat"], values["inc"], seconds, tau, heights)


def _pixels(
    seconds: np.ndarray, tau: np.ndarray, main: Element, corners: Points, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of radar times: rows go with azimuth time, columns with slant or ground range. The corners tell
    in which direction, so that every orientation of an image is read."""
    projection = main.find("productSpecific/projectedImageInfo/slantToGroundRangeProjection")
    if projection is not None:
        away, there = _ground_range(projection, tau, name), _ground_range(projection, corners.tau, name)
        order = 1
    else:
        away, there = tau - corners.tau.mean(), corners.tau - corners.tau.mean()
        order = 2 if text_of(main, "productInfo/productVariantInfo/projection").upper().startswith("GROUND") else 1
    columns = _line(there, corners.columns, order)(away)
    rows = _line(corners.seconds, corners.rows, 1)(seconds)
    return columns, rows


def _line(x: np.ndarray, y: np.ndarray, order: int) -> np.polynomial.Polynomial:
    if np.ptp(x) == 0:
        raise NoLocation("All corners of the scene have the same radar time, so its orientation is undetermined.")
    return np.polynomial.Polynomial.fit(x, y, order)


def _ground_range(projection: Element, tau: np.ndarray, name: str) -> np.ndarray:
    return polynomial(projection, tau - need_number(projection, "referencePoint", name), name)


def polynomial(element: Element, x: np.ndarray, name: str) -> np.ndarray:
    """The polynomial of the <coefficient exponent="..."> elements at x.

    Raises:
        DamagedProduct: a coefficient or an exponent is not a number.
    """
    result = np.zeros(np.shape(x))
    for number, coefficient in enumerate(element.findall("coefficient")):
        exponent = coefficient.get("exponent", str(number))
        if not exponent.isdecimal() or int(exponent) > 20:
            raise DamagedProduct(f"{name} holds a polynomial with the exponent {exponent[:20]!r}.")
        result += need_number(coefficient, ".", name) * x ** int(exponent)
    return result


def on_map(points: Points, geometry: AffineGeometry, name: str) -> Points:
    """The points where a geocoded raster has them.

    Raises:
        NoLocation: they lie outside the area where its projection is valid.
    """
    x, y = Transformer.from_crs(4326, geometry.crs, always_xy=True).transform(points.lons, points.lats)
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        raise NoLocation(f"{name} names places outside the area where the raster's projection is valid.")
    columns, rows = geometry.inverse(np.asarray(x), np.asarray(y))
    return replace(points, columns=columns, rows=rows)
