"""Calibration of TerraSAR-X: beta0 = k * DN^2 - NEBN, sigma0 = beta0 * sin(incidence).

Source: "Radiometric Calibration of TerraSAR-X Data" (Airbus Defence and Space, TSXX-ITD-TN-0049).
"""

from datetime import datetime
from xml.etree.ElementTree import Element

import numpy as np

from knowlip.scenes.calibration import Constant, Field, Radiometry, Table
from knowlip.scenes.errors import DamagedProduct, NotCalibrated
from knowlip.scenes.readers.terrasar_points import Points, polynomial
from knowlip.scenes.scene import SceneOverrides
from knowlip.scenes.xml import need, need_number, need_text, number_at, time_of

_NODES = 33
Size = tuple[int, int]


def read_calibration(
    main: Element, layer: str, wanted: SceneOverrides, points: Points, size: Size, start: datetime, name: str
) -> Radiometry:
    """Calibration of one polarisation.

    Args:
        main: root of the main annotation, of the file `name`.
        layer: its layerIndex.
        wanted: the quantity, and whether the noise equivalent beta nought is subtracted.
        points: incidence angles and times.
        size: rows and columns of the raster.
        start: of the scene.

    Raises:
        NotCalibrated: no factor, one that is not positive, or no noise although asked for.
    """
    quantity, constant = wanted.quantity, _of_layer(main, "calibration/calibrationConstant", layer)
    factor = number_at(constant, "calFactor", np.nan) if constant is not None else np.nan
    if not (np.isfinite(factor) and factor > 0):
        raise NotCalibrated(
            f"{name} carries no positive calibration factor for layer {layer}; read it with --read.calibrate false."
        )
    # Angles change so slowly that 33 nodes a side stand for all pixels; an image of fewer rows has fewer nodes.
    rows, columns = (np.unique(np.linspace(0, extent - 1, _NODES)) for extent in size)
    gain: Field = Constant(factor)
    if quantity != "beta0":
        angle = np.radians(points.over(points.incidence_deg, columns + 0.5, rows + 0.5))
        if np.any(angle <= 0) or np.any(angle >= np.pi / 2):
            raise DamagedProduct(f"{name}: the incidence angles of the scene are not between 0 and 90 degrees.")
        gain = Table(rows, columns, factor * (np.sin(angle) if quantity == "sigma0" else np.tan(angle)))
    noise = _noise(main, layer, points, rows, columns, start, name) if wanted.denoise else None
    return Radiometry(quantity, gain, noise)


def _noise(
    main: Element, layer: str, points: Points, rows: np.ndarray, columns: np.ndarray, start: datetime, name: str
) -> Field:
    """NEBN / k at the nodes: polynomials in range time, given at some azimuth times and linear between them."""
    if sum(element.get("layerIndex", layer) == layer for element in main.findall("noise")) > 1:
        raise NotCalibrated(f"{name} describes noise beam by beam (ScanSAR); read it with --read.denoise false.")
    noise = _of_layer(main, "noise", layer)
    elements = noise.findall("imageNoise") if noise is not None else []
    if not elements:
        raise NotCalibrated(f"{name} describes no noise for layer {layer}; read it with --read.denoise false.")
    tau = points.over(points.tau, columns + 0.5, rows + 0.5)
    seconds = points.over(points.seconds, columns + 0.5, rows + 0.5)
    estimates = []
    for element in elements:
        when = (time_of(need_text(element, "timeUTC", name), name) - start).total_seconds()
        estimates.append((when, _polynomial(need(element, "noiseEstimate", name), tau, name)))
    estimates.sort(key=lambda estimate: estimate[0])
    times = np.array([when for when, _ in estimates])
    values = np.array([value for _, value in estimates])
    if len(times) == 1:
        return Table(rows, columns, np.maximum(values[0], 0))
    after = np.clip(np.searchsorted(times, seconds), 1, len(times) - 1)
    share = np.clip((seconds - times[after - 1]) / np.maximum(times[after] - times[after - 1], 1e-9), 0, 1)
    i, j = np.indices(seconds.shape)
    between = values[after - 1, i, j] * (1 - share) + values[after, i, j] * share
    return Table(rows, columns, np.maximum(between, 0))


def _polynomial(estimate: Element, tau: np.ndarray, name: str) -> np.ndarray:
    low, high = number_at(estimate, "validityRangeMin", -np.inf), number_at(estimate, "validityRangeMax", np.inf)
    return polynomial(estimate, np.clip(tau, low, high) - need_number(estimate, "referencePoint", name), name)


def _of_layer(main: Element, path: str, layer: str) -> Element | None:
    """The element at `path` of a layer; an element without an index belongs to any."""
    return next((element for element in main.findall(path) if element.get("layerIndex", layer) == layer), None)
