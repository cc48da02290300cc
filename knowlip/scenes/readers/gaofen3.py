"""Gaofen-3: single-look complex (level 1A), detected (1B) and geocoded (2) products: a `*.meta.xml`, one TIFF per
polarisation, RPCs (`.rpc`, `.rpb`) and incidence angles (`*.incidence.xml`).

Calibration after the user handbook of the China Centre for Resources Satellite Data and Application:
sigma0 = (DN * Q / 32767)^2 / 10^(K/10) for complex pixels, DN^2 = I^2 + Q^2, and with 65535 for detected ones; Q is
`QualifyValue` (the greatest value before the pixels became integers) and K `CalibrationConst` in dB, each per
polarisation. "NULL" in their place means that the product is not calibrated.
"""

import math
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from knowlip.scenes.calibration import Constant, Field, Radiometry, Table
from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct, NoLocation, UnknownFormat
from knowlip.scenes.geometry import GEOD, AffineGeometry, Geometry
from knowlip.scenes.names import scene_id_of, second_of, slug
from knowlip.scenes.quantities import conversion, finite, relative
from knowlip.scenes.raster import RasterFile
from knowlip.scenes.readers.common import BY_CORNERS, ProductFiles, choose, gated, require_data
from knowlip.scenes.readers.geotiff import Header, geometry_of, raster_of, read_header
from knowlip.scenes.rpcfile import read_rpc
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.xml import read_xml, text_of

NAME = "Gaofen-3"
_META = ".meta.xml"
_TIFF = (".tif", ".tiff")
_RPC = (".rpc", ".rpb")
_POLARISATIONS = {"HH": "HH", "HV": "HV", "VH": "VH", "VV": "VV", "DH": "HH", "DV": "VV"}
"""Words of file names -> polarisation ("DH" is HH received by two apertures)."""
_BANDS = "AHV=HH,HV,VH,VV DH=HH DV=VV HHHV=HH,HV HVHH=HH,HV VVVH=VV,VH VHVV=VV,VH HH=HH VV=VV"
_BANDS_OF = {mode: tuple(bands.split(",")) for mode, bands in (entry.split("=") for entry in _BANDS.split())}
"""Words of polarisation modes -> polarisations."""


class _Angles(NamedTuple):
    """Incidence angles in degrees along the columns."""

    columns: np.ndarray
    degrees: np.ndarray

    @property
    def middle(self) -> float:
        return float(self.degrees[len(self.degrees) // 2])


def _is_meta(path: Path) -> bool:
    if not path.name.lower().endswith(_META):
        return False
    if path.name.upper().startswith("GF3"):
        return True
    with path.open("rb") as stream:
        return b"<satellite>GF3" in stream.read(4096)


def _tiffs(meta: Path) -> list[Path]:
    return _own(meta, _TIFF)


_FILES = ProductFiles(NAME, _is_meta, _tiffs)
matches, parts = _FILES.matches, _FILES.parts


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """Open a product of Gaofen-3.

    The place comes from the TIFF's map transform, else the RPCs (at `overrides.height_m`, else at the RPC's own
    height), else control points in the TIFF, else the four corners in the metadata, which is noted.

    Raises:
        SceneError: files are missing or contradict each other, no place, no valid pixel, or a quantity that the product
            cannot give.
    """
    meta = _FILES.entry(path)
    root = read_xml(meta)
    for element in root.iter():  # processors differ in the case of tags
        element.tag = element.tag.lower()
    files = _by_polarisation(meta, root)
    chosen = choose(list(files), overrides, path)
    scenes = []
    for polarisation in chosen:
        tiff = files[polarisation]
        header = read_header(tiff)
        raster = _raster(tiff, header)
        if overrides.units and raster.units != "complex":
            raster.units = overrides.units
        geometry, sources, notes = _geometry(meta, tiff, root, header, overrides)
        stated = tuple(finite(text_of(root, f"imageinfo/{side}")) for side in ("height", "width"))
        if all(map(math.isfinite, stated)) and stated != raster.shape and not isinstance(geometry, AffineGeometry):
            raise DamagedProduct(
                f"{tiff} has {raster.shape[1]} x {raster.shape[0]} pixels and its metadata say {stated[1]:.0f} x "
                f"{stated[0]:.0f}: was it cut? Its RPCs or corners hold for the whole image only."
            )
        angles = _angles(meta, root, raster.shape[1]) if not isinstance(geometry, AffineGeometry) else None
        incidence = angles.middle if angles else _middle_angle(root)
        notes += _calibrate(raster, root, polarisation, overrides, meta, angles)
        require_data(raster)
        name = slug(scene_id_of(Path(meta.name.removesuffix(_META))))
        scene = Scene(
            path=path,
            scene_id=name + (f"-{polarisation.lower()}" if len(chosen) > 1 else ""),
            raster=raster,
            geometry=geometry,
            sensor=overrides.sensor or "gaofen-3",
            band=overrides.band or "C",
            polarisation=polarisation,
            looks=_looks(root),
            incidence_deg=incidence,
            look_azimuth_deg=_look_azimuth(geometry, raster.shape, angles),
            look_side={"R": "right", "L": "left"}.get(text_of(root, "sensor/lookdirection").upper()[:1], ""),
            orbit={"D": "descending", "A": "ascending"}.get(text_of(root, "direction").upper()[:1], ""),
            date=second_of(text_of(root, "platform/centertime") or text_of(root, "imageinfo/imagingtime/start")),
            radiometry="calibrated" if raster.calibration else "relative",
            quantity=raster.calibration.quantity if raster.calibration else "none",
            mode=text_of(root, "sensor/imagingmode"),
            product_type=_level(meta, root),
            projection="map" if isinstance(geometry, AffineGeometry) else "slant",
            product=NAME,
            frequency_ghz=finite(text_of(root, "sensor/radarcenterfrequency")),
            sources=(meta, tiff, *sources),
            notes=tuple(notes),
        )
        scenes.append(gated(scene, overrides, tiff))
    return scenes


def _metas(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.glob(f"*{_META}") if _is_meta(entry))


def _own(meta: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files beside the metadata that belong to the same product: their names differ in the polarisation alone. Where
    none does and the folder holds a single product, those that name a polarisation, or the only one."""
    files = sorted(file for file in meta.parent.iterdir() if file.suffix.lower() in suffixes and file.is_file())
    words = meta.name[: -len(_META)].split("_")
    named = []
    for file in files:
        others = file.stem.split("_")
        different = [(a, b) for a, b in zip(words, others) if a != b]
        if len(words) == len(others) and all(
            a in _BANDS_OF and (b in _POLARISATIONS or b in _BANDS_OF) for a, b in different
        ):
            named.append(file)
    if named or len(_metas(meta.parent)) != 1:
        return named
    return files if len(files) == 1 else [file for file in files if _polarisation_in(file)]


def _polarisation_in(tiff: Path) -> str:
    return next((_POLARISATIONS[word] for word in reversed(tiff.stem.upper().split("_")) if word in _POLARISATIONS), "")


def _by_polarisation(meta: Path, root: Element) -> dict[str, Path]:
    """Polarisation -> TIFF; refused where there is none, or several of one polarisation."""
    tiffs = _tiffs(meta)
    if not tiffs:
        raise DamagedProduct(f"{meta} has no TIFF beside it, is the product complete?")
    mode = text_of(root, "sensor/polarparams/polar/polarmode") or text_of(root, "productinfo/productpolar")
    stated = _BANDS_OF.get(mode.upper(), ())
    found: dict[str, Path] = {}
    for tiff in tiffs:
        polarisation = _polarisation_in(tiff) or (stated[0] if len(tiffs) == len(stated) == 1 else "")
        if not polarisation:
            raise UnknownFormat(f"The name of {tiff} says no polarisation.")
        if polarisation in found:
            raise DamagedProduct(f"{meta} has two images of {polarisation}: {found[polarisation].name}, {tiff.name}.")
        found[polarisation] = tiff
    return found


def _raster(tiff: Path, header: Header) -> RasterFile:
    """One complex band, two bands (real and imaginary), or one detected band; another number of bands is refused."""
    bands = len(header.dtypes)
    if bands > 2 or (bands == 2 and header.dtypes[0].startswith("uint")):
        raise UnknownFormat(
            f"{tiff} has {bands} bands of {header.dtypes[0]}; one (detected) or two (real and imaginary) are expected."
        )
    return raster_of(tiff, header, 1, 2 if bands == 2 else 0)


def _level(meta: Path, root: Element) -> str:
    words = [word for word in meta.name.upper().split("_") if word in ("L1A", "L1B", "L2")]
    return words[0] if words else "L" + text_of(root, "productinfo/productlevel").upper().removeprefix("L")


def _looks(root: Element) -> float:
    looks = [finite(text_of(root, f"processinfo/multilook{axis}")) for axis in ("range", "azimuth")]
    return looks[0] * looks[1] if all(math.isfinite(value) and value > 0 for value in looks) else 0.0


def _geometry(
    meta: Path, tiff: Path, root: Element, header: Header, overrides: SceneOverrides
) -> tuple[Geometry, list[Path], list[str]]:
    """Geometry, further files it comes from, and notes."""
    if header.affine is not None:
        return header.affine, [], []
    files = _own(meta, _RPC)
    same = [file for file in files if file.stem == tiff.stem] or [
        file for file in files if _polarisation_in(file) in ("", _polarisation_in(tiff))
    ]
    if same or files:
        rpc = (same or files)[0]
        return read_rpc(rpc, overrides.height_m), [rpc], []
    if header.gcps or header.rpcs:
        return geometry_of(header, tiff, overrides), [], []
    return _corners(meta, root, header.shape), [], [BY_CORNERS.format(", for want of RPCs")]


def _corners(meta: Path, root: Element, shape: tuple[int, int]) -> ControlPoints:
    rows, columns = shape
    points = []
    for down, row in (("top", 0.5), ("bottom", rows - 0.5)):
        for across, column in (("left", 0.5), ("right", columns - 0.5)):
            corner = f"imageinfo/corner/{down}{across}"
            lon, lat = (finite(text_of(root, f"{corner}/{axis}itude")) for axis in ("long", "lat"))
            if not (math.isfinite(lon) and math.isfinite(lat)):
                raise NoLocation(f"{meta} has no RPCs beside it and no four corners in it: put its .rpc file there.")
            points.append((column, row, lon, lat))
    return ControlPoints(*np.array(points).T)


def _angles(meta: Path, root: Element, width: int) -> _Angles | None:
    """Incidence angles per column from `*.incidence.xml`; None where there is none."""
    file = meta.with_name(meta.name[: -len(_META)] + ".incidence.xml")
    if not file.is_file():
        return None
    values = [finite(element.text) for element in read_xml(file).iter() if element.tag.lower() == "incidencevalue"]
    if len(values) < 2 or not all(math.isfinite(value) for value in values):
        raise DamagedProduct(f"{file} holds no list of incidence angles.")
    return _Angles(np.linspace(0, width - 1, len(values)), np.array(values))


def _middle_angle(root: Element) -> float:
    near = finite(text_of(root, "processinfo/incidenceanglenearrange"))
    far = finite(text_of(root, "processinfo/incidenceanglefarrange"))
    return (near + far) / 2


def _look_azimuth(geometry: Geometry, shape: tuple[int, int], angles: _Angles | None) -> float:
    """From near to far range along the middle row of a slant-range image; NaN where near and far are not known."""
    if angles is None or angles.degrees[0] == angles.degrees[-1]:
        return math.nan
    rows, columns = shape
    ends = np.array([0.0, columns]) if angles.degrees[0] < angles.degrees[-1] else np.array([columns, 0.0])
    x, y = geometry.forward(ends, np.full(2, rows / 2))
    if isinstance(geometry, ControlPoints):
        return float(np.degrees(np.arctan2(x[1] - x[0], y[1] - y[0])) % 360)
    return float(GEOD.inv(x[0], y[0], x[1], y[1])[0] % 360)


def _calibrate(
    raster: RasterFile, root: Element, polarisation: str, overrides: SceneOverrides, meta: Path, angles: _Angles | None
) -> list[str]:
    """Give the raster its calibration where the product has one; what the user should know of it."""
    qualify = finite(text_of(root, f"imageinfo/qualifyvalue/{polarisation.lower()}"))
    constant = finite(text_of(root, f"processinfo/calibrationconst/{polarisation.lower()}"))
    if not (math.isfinite(qualify) and math.isfinite(constant)):
        missing = "QualifyValue" if not math.isfinite(qualify) else "CalibrationConst"
        return [relative(meta, overrides, f"its metadata give no {missing} for {polarisation}")]
    if qualify < 0:
        return [relative(meta, overrides, f"its metadata give a QualifyValue of {qualify:g}, which cannot be")]
    if not overrides.calibrate or raster.units not in ("complex", "dn"):
        return [relative(meta, overrides, "its pixels are no longer the numbers of the product")]
    most = 32767.0 if raster.units == "complex" else 65535.0
    gain = (qualify / most) ** 2 / 10 ** (constant / 10)
    field: Field = Constant(gain)
    if overrides.quantity != "sigma0":
        at = angles.degrees if angles else math.nan
        factors = np.atleast_1d(conversion("sigma0", overrides.quantity, at, meta)) * gain
        field = Table(np.zeros(1), angles.columns, factors[None, :]) if angles else Constant(float(factors[0]))
    raster.calibration = Radiometry(overrides.quantity, field)
    return []
