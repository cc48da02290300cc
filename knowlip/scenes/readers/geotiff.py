"""GeoTIFF and COG, and any other raster that GDAL reads: real or complex, any data type, located by an affine transform
(rotated or not), by control points, or by RPCs."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from affine import Affine
from rasterio.errors import RasterioError

from knowlip.scenes.calibration import QUANTITIES, Constant, Radiometry
from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct, NoLocation, UnknownFormat
from knowlip.scenes.geometry import AffineGeometry, Geometry
from knowlip.scenes.layers import family_of, layer_of, layer_of_band, quantity_named, sensor_of_family, units_named
from knowlip.scenes.names import date_of, polarisation_of, scene_id_of, sensor_of, word_of
from knowlip.scenes.opening import GDAL_OPTIONS, companions_of, envi_header, open_raster
from knowlip.scenes.quantities import conversion, relative
from knowlip.scenes.raster import RasterFile
from knowlip.scenes.readers.common import choose, gated, others_note, rank, require_data, require_polarisation
from knowlip.scenes.rpc import Rpc
from knowlip.scenes.scene import UNITS, Scene, SceneOverrides
from knowlip.scenes.units import agreed, settle

NAME = "GeoTIFF"
ORDER = 90
"""Any GeoTIFF: behind all that knows better."""
_SUFFIXES = (".tif", ".tiff")
_RAW_SUFFIXES = (".img", ".dat", ".bin", ".raw", ".envi", "")
"""Files of plain numbers, which are rasters where an ENVI header stands beside them."""
_LARGEST_PRJ = 100_000
_REAL_PARTS = (("real", "imag"), ("i", "q"), ("re", "im"))


def matches(path: Path) -> bool:
    suffix = path.suffix.lower()
    return path.is_file() and (suffix in _SUFFIXES or (suffix in _RAW_SUFFIXES and envi_header(path) is not None))


@dataclass(frozen=True)
class Header:
    """What GDAL says of a raster without reading its pixels."""

    crs: pyproj.CRS | None
    transform: Affine
    gcps: list[Any]
    gcp_crs: pyproj.CRS | None
    rpcs: dict[str, Any] | None
    tags: dict[str, str]
    shape: tuple[int, int]
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    descriptions: tuple[str, ...]
    band_units: tuple[str, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    coloured: bool  # Bands of 8 bit that are called red, green and blue.
    companions: tuple[Path, ...]  # Files beside it that say more of it.
    notes: tuple[str, ...]

    @property
    def affine(self) -> AffineGeometry | None:
        """The map transform; None where there is none."""
        plain = self.transform.is_identity or self.transform.determinant == 0
        return None if self.crs is None or plain else AffineGeometry(self.crs, self.transform)


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """Open a georeferenced raster.

    Units come from the overrides, else from the tag KNOWLIP_UNITS, the band's unit, its description or the file's name,
    else from the distribution of the data, with a note (:func:`knowlip.scenes.units.settle`).

    Raises:
        SceneError: not a raster, a layer that is no backscatter, without location, without a single valid pixel, or
            asked for what it does not state.
    """
    if not overrides.raster_band and (layer := layer_of(path.stem)):
        raise UnknownFormat(_no_backscatter(path, layer))
    header = read_header(path)
    geometry = geometry_of(header, path, overrides)
    tags = header.tags
    sensor, band = sensor_of_family(path.stem)
    if not sensor:
        sensor, band = sensor_of(path.name)
    scenes = []
    bands, choice = _bands(header, path, overrides)
    for number, imaginary, polarisation in bands:
        raster = raster_of(path, header, number, imaginary)
        notes = settle_units(raster, header, number, overrides)
        incidence = number_of(tags.get("KNOWLIP_INCIDENCE_DEG"), math.nan)
        quantity = held_quantity(raster, _quantity_of(header, number, path), incidence, overrides, path)
        require_data(raster)
        # What a tag of KnowLIP says (the simulator and stored COGs write them) is known, a file name only suggests.
        scene = Scene(
            path=path,
            scene_id=scene_id_of(path) + (f"-{(polarisation or f'b{number}').lower()}" if len(bands) > 1 else ""),
            raster=raster,
            geometry=geometry,
            sensor=overrides.sensor or tags.get("KNOWLIP_SENSOR", "") or sensor or "unknown",
            band=overrides.band or tags.get("KNOWLIP_BAND", "") or band,
            polarisation=polarisation,
            looks=number_of(tags.get("KNOWLIP_LOOKS"), 0.0),
            incidence_deg=incidence,
            look_azimuth_deg=number_of(tags.get("KNOWLIP_LOOK_AZIMUTH_DEG"), math.nan),
            look_side=word_of(tags.get("KNOWLIP_LOOK_SIDE", ""), "left", "right"),
            orbit=word_of(tags.get("KNOWLIP_ORBIT", ""), "ascending", "descending"),
            date=tags.get("KNOWLIP_DATE", "") or date_of(path.name) or date_of(header.descriptions[number - 1]),
            radiometry=tags.get("KNOWLIP_RADIOMETRY", "") or ("calibrated" if quantity != "none" else ""),
            quantity=quantity,
            projection="map" if geometry.kind == "affine" else "",
            product=NAME,
            sources=(path, *header.companions) if header.companions else (),
            notes=(*choice, *notes, *header.notes),
        )
        scenes.append(gated(scene, overrides, path))
    return scenes


def _no_backscatter(path: Path, layer: str) -> str:
    return (
        f"{path} holds {layer}, by its name, and no backscatter; where that is wrong, describe it in {path.stem}."
        "scene.yaml (docs/scenes.md), or name its band (--read.raster_band 1)."
    )


def settle_units(raster: RasterFile, header: Header, band: int, overrides: SceneOverrides) -> list[str]:
    """Give the band of a file its units, see :func:`open_product`; notes of what was guessed."""
    described = header.descriptions[band - 1]
    tagged = header.tags.get("KNOWLIP_UNITS", "")
    unit = header.band_units[band - 1]
    held = [tagged] if tagged in UNITS else [unit if unit in UNITS else units_named(unit), units_named(described)]
    # "db" in the name of a file of whole numbers may be a data base.
    if not any(held[:1]) and (raster.scaled or raster.dtype.startswith("float")):
        named = units_named(raster.path.stem)
        held.append(named if named == "db" or family_of(raster.path.stem) else "")
    quantity = _quantity_of(header, band, raster.path)
    stated, notes = agreed(raster, overrides.units, held, quantity, sure=bool(overrides.raster_band))
    if tagged == stated != "" and raster.units != "complex":
        raster.units = stated  # written by this package, which declares what is no data
        return []
    return notes + settle(raster, stated, quantity)


def held_quantity(raster: RasterFile, held: str, incidence: float, overrides: SceneOverrides, path: Path) -> str:
    """The quantity of a band after bringing it from the one that it holds ("": none is stated) to the one asked for.

    Raises:
        NotCalibrated: beta0 or gamma0 is asked for, and the file does not hold it, nor what it takes to compute it.
    """
    if not overrides.calibrate:
        return "none"
    if not held:
        relative(path, overrides, "it does not state which quantity it holds")
        return "none"
    if overrides.quantity in (held, "sigma0"):  # sigma0 is the default, no demand: what stands in the file is read
        return held
    factor = float(conversion(held, overrides.quantity, incidence, path))
    raster.calibration = Radiometry(overrides.quantity, Constant(factor))
    return overrides.quantity


def _quantity_of(header: Header, band: int, path: Path) -> str:
    """The quantity that a file states: by its tag, the description of the band, or a published name."""
    tagged = header.tags.get("KNOWLIP_QUANTITY", "")
    named = quantity_named(header.descriptions[band - 1]) or quantity_named(path.stem)
    return tagged if tagged in QUANTITIES[1:] else named


def read_header(path: Path, source: str = "") -> Header:
    """Open a raster and keep what its header and the files beside it (`.aux.xml`, `.tfw`, `_RPC.TXT`, `.hdr`, `.prj`)
    say; `source`: GDAL's name of it, where that is not the path (a member of an archive).

    Raises:
        UnknownFormat: it cannot be opened.
        DamagedProduct: its size cannot be.
    """
    faults: list[str] = []
    try:
        with rasterio.Env(**GDAL_OPTIONS), open_raster(path, source, faults) as file:
            # Copied into plain values, so that the file is closed: an archive of chips opens thousands.
            gcps, gcp_crs = file.gcps
            colours = {str(colour.name) for colour in file.colorinterp}
            crs, notes = _crs_of(file, path)
            return Header(
                crs=crs,
                transform=file.transform,
                gcps=list(gcps),
                gcp_crs=pyproj.CRS.from_user_input(gcp_crs.to_wkt()) if gcp_crs else None,
                rpcs=file.rpcs.to_dict() if file.rpcs else None,
                tags=file.tags(),
                shape=(file.height, file.width),
                dtypes=tuple(file.dtypes),
                nodata=tuple(file.nodatavals),
                descriptions=tuple(text or "" for text in file.descriptions),
                band_units=tuple((text or "").lower() for text in file.units),
                scales=tuple(file.scales),
                offsets=tuple(file.offsets),
                coloured=set(file.dtypes) == {"uint8"} and colours >= {"red", "green", "blue"},
                companions=() if source else tuple(companions_of(path)),
                notes=(*notes, *(f"A file beside it is left out: {fault}." for fault in faults)),
            )
    except (RasterioError, OSError, pyproj.exceptions.CRSError) as error:
        raise UnknownFormat(f"{path} is not a raster that can be opened ({error}).") from error


def _crs_of(file: Any, path: Path) -> tuple[pyproj.CRS | None, tuple[str, ...]]:
    """The CRS of a file, else the one of a `.prj` beside it where a world file says the rest; and a note of that."""
    if file.crs:
        return pyproj.CRS.from_user_input(file.crs.to_wkt()), ()
    beside = path.with_suffix(".prj")
    if file.transform.is_identity or not beside.is_file() or beside.stat().st_size > _LARGEST_PRJ:
        return None, ()
    return pyproj.CRS.from_user_input(beside.read_text("utf-8", "replace")), (f"The CRS is that of {beside.name}.",)


def raster_of(
    path: Path,
    header: Header,
    band: int = 1,
    imaginary: int = 0,
    source: str = "",
    imaginary_file: Path | None = None,
) -> RasterFile:
    """One band of a file, units still to be decided ("dn", or "complex" where pixels are complex); `imaginary`: the
    band with the imaginary part, `imaginary_file`: a file of the same size that holds it."""
    if not 1 <= band <= len(header.dtypes):
        raise ValueError(f"{path} has {len(header.dtypes)} band(s), so raster_band: {band} does not exist.")
    dtype = header.dtypes[band - 1]
    units = "complex" if imaginary or imaginary_file or dtype.startswith("complex") else "dn"
    scale, offset = header.scales[band - 1], header.offsets[band - 1]
    if not (math.isfinite(scale) and math.isfinite(offset) and scale != 0):
        raise DamagedProduct(f"{path} declares a scale of {scale:g} and an offset of {offset:g}, which cannot be.")
    nodata = header.nodata[band - 1]
    place = band, imaginary, source
    raster = RasterFile(
        path, units, header.shape, dtype, nodata, None, *place, imaginary_file, scale=scale, offset=offset
    )
    if imaginary or imaginary_file:
        raster.imaginary_scaling = (
            (header.scales[imaginary - 1], header.offsets[imaginary - 1]) if imaginary else (1.0, 0.0)
        )
        if not all(map(math.isfinite, raster.imaginary_scaling)) or raster.imaginary_scaling[0] == 0:
            raise DamagedProduct(
                f"{path} declares {raster.imaginary_scaling} as scale and offset of its imaginary part."
            )
    return raster


def geometry_of(header: Header, path: Path, overrides: SceneOverrides) -> Geometry:
    """Affine transform, else control points, else RPCs.

    Raises:
        NoLocation: none of them is there.
    """
    if header.affine is not None:
        return header.affine
    if header.gcps:
        return control_points(header.gcps, header.gcp_crs)
    if header.rpcs:
        return Rpc.of(header.rpcs, overrides.height_m)
    if header.crs is not None:
        raise NoLocation(f"{path} has a coordinate reference system but no usable geotransform.")
    raise NoLocation(
        f"{path} has no coordinate reference system, control points or RPCs, so its place on the ground is unknown: "
        f"describe it in {path.stem}.scene.yaml and give that file; where nobody knows the place, two lines "
        "are enough, `unlocated: true` and `spacing_m: [3, 3]` with the metres a pixel (docs/scenes.md)."
    )


def control_points(gcps: Iterable[Any], crs: pyproj.CRS | None) -> ControlPoints:
    """Control points of GDAL (col, row, x, y) in any CRS."""
    columns, rows, xs, ys = (np.array(values, float) for values in zip(*((p.col, p.row, p.x, p.y) for p in gcps)))
    if crs is not None and not crs.is_geographic:
        xs, ys = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(xs, ys)
    return ControlPoints(columns, rows, xs, ys)


def number_of(text: str | None, default: float) -> float:
    """A number from a tag; `default` where it is absent or not a number."""
    try:
        return float(text) if text else default
    except ValueError:
        return default


def _bands(header: Header, path: Path, overrides: SceneOverrides) -> tuple[list[tuple[int, int, str]], list[str]]:
    """(band, band of the imaginary part or 0, polarisation) of the scenes to open, and notes of what was chosen.

    Raises:
        UnknownFormat: no band holds backscatter, or the polarisation that is asked for.
        NotStated: a polarisation is asked for, and the file does not say which band that is.
    """
    tagged = header.tags.get("KNOWLIP_POLARISATION", "").upper() or polarisation_of(path.name)
    if overrides.raster_band:
        described = "".join(header.descriptions[overrides.raster_band - 1 : overrides.raster_band])
        one = len(header.dtypes) == 1
        held = polarisation_of(described) or (tagged if one else "")
        return [(overrides.raster_band, 0, require_polarisation(held, overrides, path))], []
    lower = tuple(text.strip().lower() for text in header.descriptions)
    if len(lower) == 2 and (lower in _REAL_PARTS or overrides.units == "complex"):
        return [(1, 2, require_polarisation(tagged, overrides, path))], []
    layers = [layer_of_band(text, unit) for text, unit in zip(header.descriptions, header.band_units)]
    kept = [number for number, layer in enumerate(layers, 1) if not layer]
    if not kept:
        raise UnknownFormat(f"{path} holds no backscatter by the descriptions of its bands: {', '.join(layers)}.")
    found: dict[str, list[int]] = {}
    for number in kept:
        found.setdefault(polarisation_of(header.descriptions[number - 1]), []).append(number)
    unknown = found.pop("", [])
    if found:
        chosen, notes = [], []
        for name in choose(list(found), overrides, path):
            # Stable: of bands that say the same, the first.
            number, *others = sorted(found[name], key=lambda one: rank(header.descriptions[one - 1], overrides))
            chosen.append((number, 0, name))
            if others:
                told = others_note(_told(header, number), (_told(header, one) for one in others))
                notes.append(f"{told} Choose with --read.raster_band.")
        if unknown:
            bands = ", ".join(_told(header, one) for one in unknown)
            notes.append(f"Not read, as nothing says of which polarisation: band {bands}.")
        return chosen, notes
    if len(kept) == 1:
        return [(kept[0], 0, require_polarisation(tagged, overrides, path))], []
    if header.coloured:
        raise UnknownFormat(
            f"{path} is a colour picture of red, green and blue bands, no backscatter; where that is wrong, name the "
            "band (--read.raster_band 1)."
        )
    # Several bands of which nothing says what they are: the first is read and told, none is called by a polarisation.
    require_polarisation("", overrides, path)
    count = len(header.dtypes)
    note = f"Band {kept[0]} of {count} is read: nothing says what the bands are; choose with --read.raster_band."
    return [(kept[0], 0, "")], [note]


def _told(header: Header, band: int) -> str:
    return f"{band} ({header.descriptions[band - 1] or 'without a name'})"
