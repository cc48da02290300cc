"""Sensor Independent Derived Data (SIDD, NGA.STND.0025): detected images of 8 or 16 bits on a plane, a geographic grid
or a cylinder. Their numbers are remapped for the eye, so they are relative."""

import math
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from knowlip.scenes.control import ControlPoints, lattice, on_earth
from knowlip.scenes.errors import NoLocation, UnknownFormat
from knowlip.scenes.names import scene_id_of, second_of
from knowlip.scenes.nitf import Contents, NitfRaster, sarkit, sensor_of
from knowlip.scenes.quantities import relative
from knowlip.scenes.readers.common import gated, require_data, require_polarisation
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.xml import need_number, need_text, number_at, read_xml, text_of

_PIXELS = {"MONO8I": "u1", "MONO8LU": "u1", "MONO16I": ">u2"}
_PROJECTIONS = ("Geographic", "Plane", "Cylindrical", "Polynomial")


def open_sidd(path: Path, file: Contents, overrides: SceneOverrides) -> list[Scene]:
    """Open every image of a SIDD file.

    Raises:
        SceneError: colour images, no place, no valid pixel, compressed, or beta0 or gamma0 asked for.
    """
    parsed = [(document, read_xml(document, str(path))) for document in file.documents]
    images = [(document, root) for document, root in parsed if root.tag == "SIDD"]
    if not images:
        raise UnknownFormat(f"{path} holds no XML of a SIDD.")
    scenes = []
    for number, (document, root) in enumerate(images, 1):
        pixel = need_text(root, "Display/PixelType", str(path))
        if pixel not in _PIXELS:
            raise UnknownFormat(f"{path} holds {pixel} pixels, which are colours for display and no radar image.")
        rows, columns = (need_number(root, f"Measurement/PixelFootprint/{axis}", str(path)) for axis in ("Row", "Col"))
        # Segments carry the number of their image; legends and other pictures beside it are of other categories.
        mine = [s for s in file.segments if s.name.startswith(f"SIDD{number:03d}") and s.category == "SAR"]
        units = overrides.units if overrides.units in ("amplitude", "intensity", "db") else "dn"
        shape, segments = (int(rows), int(columns)), tuple(sorted(mine))
        raster = NitfRaster(path, units, shape, pixel, None, None, segments, _PIXELS[pixel])
        geometry = _geometry(path, document, raster.shape)
        require_data(raster)
        suffix = f"-{number}" if len(images) > 1 else ""
        scenes.append(gated(_scene(path, root, raster, geometry, overrides, suffix), overrides, path))
    return scenes


def _scene(
    path: Path, root: Element, raster: NitfRaster, geometry: ControlPoints, wanted: SceneOverrides, suffix: str
) -> Scene:
    # Derived images may carry no collection at all, and say then only where their pixels are.
    collection = root.find("ExploitationFeatures/Collection")
    collection = Element("none") if collection is None else collection
    sent, received = (text_of(collection, f"Information/Polarization/{way}Polarization") for way in ("Tx", "Rcv"))
    polarisation = sent + received if {sent, received} <= {"H", "V"} else ""
    require_polarisation(polarisation, wanted, path)
    kinds = [kind for kind in _PROJECTIONS if root.find(f"Measurement/{kind}Projection") is not None]
    return Scene(
        path=path,
        scene_id=scene_id_of(path) + suffix,
        raster=raster,
        geometry=geometry,
        sensor=wanted.sensor or sensor_of(text_of(collection, "Information/SensorName")),
        band=wanted.band,
        polarisation=polarisation,
        incidence_deg=90 - number_at(collection, "Geometry/Graze", math.nan),
        look_azimuth_deg=(number_at(collection, "Geometry/Azimuth", math.nan) + 180) % 360,
        date=second_of(text_of(collection, "Information/CollectionDateTime")),
        radiometry="relative",
        mode=text_of(collection, "Information/RadarMode/ModeType").lower(),
        product_type="SIDD",
        projection="map" if kinds[:1] == ["Geographic"] else "ground",
        product="SIDD",
        notes=(relative(path, wanted, "SIDD pixels are remapped for display"),),
    )


def _geometry(path: Path, document: bytes, shape: tuple[int, int]) -> ControlPoints:
    """A grid of pixels, placed by the product's own projection; whole numbers name pixel centres."""
    import lxml.etree

    rows, columns = lattice(shape)
    try:
        tree = lxml.etree.fromstring(document).getroottree()
        points = sarkit("sidd").pixel_to_ecef(tree, np.column_stack([rows, columns]) - 0.5)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, lxml.etree.LxmlError) as error:
        raise NoLocation(f"{path} cannot be placed, its metadata do not suffice ({error}).") from error
    return on_earth(rows, columns, np.asarray(points))
