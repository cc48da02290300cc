"""Sensor Independent Complex Data (SICD, NGA.STND.0024) in NITF: Umbra, Capella, ICEYE and others deliver it. Detected
images derived from it (SIDD) are read beside it; phase history (CPHD) has to be formed into an image first.

Power means the quantity that a scale factor polynomial of `Radiometric` makes of it: quantity = SF(x, y) * |pixel|^2,
x and y in metres from the scene centre point. Without `Radiometric` pixels are relative.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from rasterio.windows import Window

from knowlip.scenes.calibration import Radiometry
from knowlip.scenes.control import ControlPoints, lattice, on_earth
from knowlip.scenes.errors import NotCalibrated, SlantRange, UnknownFormat
from knowlip.scenes.geometry import slices
from knowlip.scenes.names import scene_id_of, second_of
from knowlip.scenes.nitf import Contents, NitfRaster, contents, product_of, sarkit, sensor_of
from knowlip.scenes.quantities import finite, relative
from knowlip.scenes.readers.common import gated, require_data, require_polarisation
from knowlip.scenes.readers.sidd import open_sidd
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.xml import need_number, need_text, number_at, read_xml, text_of

NAME = "SICD"
_SUFFIXES = (".ntf", ".nitf", ".nsf", ".sicd", ".sidd", ".cphd")
_PIXELS = {"RE32F_IM32F": ">c8", "RE16I_IM16I": "pair", "AMP8I_PHS8I": "polar"}
_FACTORS = {"sigma0": "SigmaZeroSFPoly", "beta0": "BetaZeroSFPoly", "gamma0": "GammaZeroSFPoly"}
_BANDS = {"P": 0.25, "L": 1.0, "S": 2.0, "C": 4.0, "X": 8.0, "Ku": 12.0, "K": 18.0, "Ka": 27.0, "": 40.0}
"""Band -> lowest frequency in GHz."""
_SATELLITE_M = 150e3


@dataclass(frozen=True, eq=False)
class Polynomial:
    """A polynomial of metres from the scene centre point, as a field over pixels."""

    coefficients: np.ndarray  # (M, N) of x^m y^n; x along rows, y along columns.
    centre: tuple[float, float]  # Row and column of the scene centre point, pixel centres being whole numbers.
    spacing: tuple[float, float]  # Metres per row and per column.
    decibel: bool = False  # The polynomial is in dB: its power is meant.

    def over(self, window: Window) -> np.ndarray:
        rows, columns = (np.arange(part.start, part.stop) for part in slices(window))
        x, y = (rows - self.centre[0]) * self.spacing[0], (columns - self.centre[1]) * self.spacing[1]
        m, n = self.coefficients.shape
        if m == 1:
            x = x[:1]
        if n == 1:
            y = y[:1]
        powers = np.polynomial.polynomial.polyvander
        values = powers(x, m - 1) @ self.coefficients @ powers(y, n - 1).T
        return (10 ** (values / 10) if self.decibel else values).astype(np.float32)


def matches(path: Path) -> bool:
    """A NITF file that holds a SICD or a SIDD, or a CPHD file (which is refused with the reason)."""
    return path.suffix.lower() in _SUFFIXES and path.is_file() and product_of(path) != ""


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """Open a SICD or SIDD file.

    Pixels are placed by projecting a grid of them onto the surface at the height of the scene centre point
    (`overrides.height_m` sets another one) by the projection of the standard's volume 3.

    Raises:
        ValueError: sarkit is not installed.
        SceneError: a CPHD file, cut off or compressed, no valid pixel, or a quantity that the product cannot give.
    """
    kind = product_of(path)
    if kind == "CPHD":
        how = "form it into a SICD first (for example with the tools of sarkit)"
        raise UnknownFormat(f"{path} is phase history, not an image: {how}.")
    file = contents(path)
    return open_sidd(path, file, overrides) if kind == "SIDD" else [_open_sicd(path, file, overrides)]


def _open_sicd(path: Path, file: Contents, overrides: SceneOverrides) -> Scene:
    root = read_xml(file.documents[0], str(path)) if file.documents else Element("none")
    if root.tag != "SICD":
        raise UnknownFormat(f"{path} holds no XML of a SICD.")
    name = str(path)
    pixel = need_text(root, "ImageData/PixelType", name)
    if pixel not in _PIXELS:
        raise UnknownFormat(f"{path} has pixels of the unknown type {pixel}.")
    shape = int(need_number(root, "ImageData/NumRows", name)), int(need_number(root, "ImageData/NumCols", name))
    # Large images are split into segments; their names, not their order in the file, number the rows.
    segments = tuple(sorted(s for s in file.segments if s.name.startswith("SICD")))
    polar = pixel == "AMP8I_PHS8I"
    units, amplitudes = ("amplitude", _amplitudes(root)) if polar else ("complex", ())
    raster = NitfRaster(path, units, shape, pixel, None, None, segments, _PIXELS[pixel], amplitudes)
    polarisation = polarisation_of(text_of(root, "ImageFormation/TxRcvPolarizationProc"))
    require_polarisation(polarisation, overrides, path)
    geometry = _geometry(path, file.documents[0], root, shape, overrides)
    notes = _calibrate(raster, root, path, overrides)
    require_data(raster)
    low, high = (number_at(root, f"RadarCollection/TxFrequency/{end}", math.nan) for end in ("Min", "Max"))
    frequency = math.nan if text_of(root, "RadarCollection/RefFreqIndex", "0") != "0" else (low + high) / 2e9
    scene = Scene(
        path=path,
        scene_id=scene_id_of(path),
        raster=raster,
        geometry=geometry,
        sensor=overrides.sensor or sensor_of(text_of(root, "CollectionInfo/CollectorName")),
        band=overrides.band or band_of(frequency),
        polarisation=polarisation,
        looks=1.0,
        incidence_deg=number_at(root, "SCPCOA/IncidenceAng", math.nan),
        look_azimuth_deg=(number_at(root, "SCPCOA/AzimAng", math.nan) + 180) % 360,
        look_side={"L": "left", "R": "right"}.get(text_of(root, "SCPCOA/SideOfTrack"), ""),
        orbit=_orbit(root),
        date=second_of(text_of(root, "Timeline/CollectStart")),
        radiometry="calibrated" if raster.calibration else "relative",
        quantity=raster.calibration.quantity if raster.calibration else "none",
        mode=text_of(root, "CollectionInfo/RadarMode/ModeType").lower(),
        product_type="SICD",
        projection="slant" if text_of(root, "Grid/ImagePlane") != "GROUND" else "ground",
        product=NAME,
        frequency_ghz=frequency,
        notes=tuple(notes),
    )
    return gated(scene, overrides, path)


def _amplitudes(root: Element) -> tuple[float, ...]:
    """`AmpTable`; empty where the product has none."""
    found = {int(element.get("index", -1)): finite(element.text) for element in root.iterfind("ImageData/AmpTable/*")}
    return tuple(found[number] for number in range(256)) if set(range(256)) <= set(found) else ()


def _geometry(
    path: Path, document: bytes, root: Element, shape: tuple[int, int], overrides: SceneOverrides
) -> ControlPoints:
    """A grid of pixels on the surface of one height; refused where the metadata do not suffice for the projection."""
    import lxml.etree

    module = sarkit("sicd")
    height = overrides.height_m
    if height is None:
        height = need_number(root, "GeoData/SCP/LLH/HAE", str(path))
    rows, columns = lattice(shape)
    # SICD's whole numbers name pixel centres, and count from the full image that this one may be cut from.
    first = np.array([number_at(root, "ImageData/FirstRow", 0), number_at(root, "ImageData/FirstCol", 0)])
    try:
        tree = lxml.etree.fromstring(document).getroottree()
        grid = module.rowcol_to_xrowycol(tree, np.column_stack([rows, columns]) - 0.5 + first)
        points, _, success = module.image_to_constant_hae_surface(tree, grid, height, delta_hae_max=0.01, nlim=10)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, lxml.etree.LxmlError) as error:
        raise SlantRange(f"{path} cannot be projected to the ground, its metadata do not suffice ({error}).") from error
    if not success or not np.all(np.isfinite(points)):
        raise SlantRange(f"{path} cannot be projected to the ground at a height of {height:.0f} m.")
    return on_earth(rows, columns, points)


def _calibrate(raster: NitfRaster, root: Element, path: Path, overrides: SceneOverrides) -> list[str]:
    """Scale factor of the quantity asked for, else of another one and the angles at the scene centre; refused where
    factors are not positive, or where beta0 or gamma0 are asked for without any factor."""
    radiometric = root.find("Radiometric")
    held = [] if radiometric is None else [name for name, tag in _FACTORS.items() if radiometric.find(tag) is not None]
    if radiometric is None or not held or not overrides.calibrate:
        return [relative(path, overrides, "the SICD has no Radiometric scale factors")]
    quantity = overrides.quantity if overrides.quantity in held else held[0]
    gain = _polynomial(root, f"Radiometric/{_FACTORS[quantity]}", path)
    notes = []
    if quantity != overrides.quantity:
        # SICD volume 1: sigma0 = beta0 cos(slope), gamma0 = sigma0 / sin(graze), both at the scene centre point.
        slope = math.cos(math.radians(need_number(root, "SCPCOA/SlopeAng", str(path))))
        graze = math.sin(math.radians(need_number(root, "SCPCOA/GrazeAng", str(path))))
        of_beta = {"beta0": 1.0, "sigma0": slope, "gamma0": slope / graze}
        factor = of_beta[overrides.quantity] / of_beta[quantity]
        gain = Polynomial(gain.coefficients * factor, gain.centre, gain.spacing)
        notes.append(f"Brought from {quantity} to {overrides.quantity} with the angles at the scene centre.")
    rows, columns = raster.shape
    for row in np.linspace(0, rows - 1, 9).astype(int):
        values = gain.over(Window(0, int(row), columns, 1))
        if not np.all(np.isfinite(values)) or np.any(values <= 0):
            raise NotCalibrated(f"The scale factors of {path} are not positive; read it with --read.calibrate false.")
    noise = None
    if overrides.denoise:
        if text_of(root, "Radiometric/NoiseLevel/NoiseLevelType") == "ABSOLUTE":
            noise = _polynomial(root, "Radiometric/NoiseLevel/NoisePoly", path, decibel=True)
        else:
            notes.append("Noise is not subtracted: the SICD states no absolute noise level.")
    raster.calibration = Radiometry(overrides.quantity, gain, noise)
    return notes


def _polynomial(root: Element, where: str, path: Path, decibel: bool = False) -> Polynomial:
    element = root.find(where)
    terms = [] if element is None else list(element.iter("Coef"))
    if not terms:
        raise NotCalibrated(f"{path} has no coefficients in {where}.")
    places = [(int(term.get("exponent1", 0)), int(term.get("exponent2", 0))) for term in terms]
    coefficients = np.zeros((max(m for m, _ in places) + 1, max(n for _, n in places) + 1))
    for place, term in zip(places, terms):
        coefficients[place] = finite(term.text)
    name = str(path)
    first = number_at(root, "ImageData/FirstRow", 0), number_at(root, "ImageData/FirstCol", 0)
    centre = need_number(root, "ImageData/SCPPixel/Row", name), need_number(root, "ImageData/SCPPixel/Col", name)
    spacing = need_number(root, "Grid/Row/SS", name), need_number(root, "Grid/Col/SS", name)
    return Polynomial(coefficients, (centre[0] - first[0], centre[1] - first[1]), spacing, decibel)


def _orbit(root: Element) -> str:
    """Ascending or descending by the velocity's northward part; "" below the height of satellites."""
    position = np.array([number_at(root, f"SCPCOA/ARPPos/{axis}", math.nan) for axis in "XYZ"])
    north = number_at(root, "SCPCOA/ARPVel/Z", math.nan)
    if not (np.linalg.norm(position) > 6_378_137 + _SATELLITE_M and math.isfinite(north)):
        return ""
    return "ascending" if north > 0 else "descending"


def polarisation_of(text: str) -> str:
    """ "V:H" (transmitted, received) -> "VH"; "" where it is something else."""
    letters = [part.strip().upper() for part in text.split(":")]
    return "".join(letters) if len(letters) == 2 and set(letters) <= {"H", "V"} else ""


def band_of(frequency_ghz: float) -> str:
    """Letter of the radar band; "" where it is unknown."""
    return next((band for band, low in reversed(_BANDS.items()) if frequency_ghz >= low), "")
