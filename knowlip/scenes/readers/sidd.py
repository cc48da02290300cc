"""Sensor Independent Derived Data (SIDD, NGA.STND.0025): detected images of 8 or 16 bits on a plane, a geographic grid
or a cylinder. Their numbers are remapped for the eye, so they are relative."""

import math
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from knowlip.scenes.control import ControlPoints, gate
from knowlip.scenes.errors import NoLocation, UnknownFormat
from knowlip.scenes.names import scene_id_of
from knowlip.scenes.nitf import Contents, NitfRaster, on_earth, sarkit, second_of, sensor_of
from knowlip.scenes.quantities import relative
from knowlip.scenes.readers.geotiff import require_data
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.xml import need_number, need_text, number_at, read_xml, text_of

_PIXELS = {"MONO8I": "u1", "MONO8LU": "u1", "MONO16I": ">u2"}
_SIDE = 17


def open_sidd(path: Path, file: Contents, overrides: SceneOverrides) -> list[Scene]:
    """Open every image of a SIDD file.

    Raises:
        SceneError: colour images, no place, no valid pixel, compressed, or beta0 or gamma0 asked for.
    """
    note = relative(path, overrides, "SIDD pixels are remapped for display")
    documents = [document for document in file.documents if _root(document, path).tag == "SIDD"]
    if not documents:
        raise UnknownFormat(f"{path} holds no XML of a SIDD.")
    scenes = []
    for number, document in enumerate(documents, 1):
        root = _root(document, path)
        pixel = need_text(root, "Display/PixelType", str(path))
        if pixel not in _PIXELS:
            raise UnknownFormat(f"{path} holds {pixel} pixels, which are colours for display and no radar image.")
        shape = tuple(
            int(need_number(root, f"Measurement/PixelFootprint/{axis}", str(path))) for axis in ("Row", "Col")
        )
        segments = sorted(
            (s for s in file.segments if s.name.startswith(f"SIDD{number:03d}") and s.category == "SAR"),
            key=lambda segment: segment.name,
        )
        raster = NitfRaster(
            path, overrides.units if overrides.units in ("amplitude", "intensity", "db") else "dn",
            (shape[0], shape[1]), pixel, None, segments=tuple(segments), pixel=_PIXELS[pixel],
        )  # fmt: skip
        geometry = _geometry(path, document, raster.shape)
        require_data(raster)
        scene = _scene(path, root, raster, geometry, overrides, note, number if len(documents) > 1 else 0)
        gate(geometry, path, scene.resolution_m, overrides.max_residual_m)
        scenes.append(scene)
    return scenes


def _root(document: bytes, path: Path) -> Element:
    return read_xml(document, str(path))


def _scene(
    path: Path, root: Element, raster: NitfRaster, geometry: ControlPoints, overrides: SceneOverrides, note: str,
    number: int,
) -> Scene:  # fmt: skip
    collection = root.find("ExploitationFeatures/Collection")
    collection = Element("none") if collection is None else collection
    sent, received = (text_of(collection, f"Information/Polarization/{way}Polarization") for way in ("Tx", "Rcv"))
    polarisation = sent + received if {sent, received} <= {"H", "V"} else ""
    if overrides.polarisation.upper() not in ("", "ALL", polarisation):
        raise UnknownFormat(f"{path} holds {polarisation or 'no stated polarisation'}, not {overrides.polarisation}.")
    projection = next((kind for kind in ("Geographic", "Plane", "Cylindrical", "Polynomial")
                       if root.find(f"Measurement/{kind}Projection") is not None), "")  # fmt: skip
    return Scene(
        path=path,
        scene_id=scene_id_of(path) + (f"-{number}" if number else ""),
        raster=raster,
        geometry=geometry,
        sensor=overrides.sensor or sensor_of(text_of(collection, "Information/SensorName")),
        band=overrides.band,
        polarisation=polarisation,
        incidence_deg=90 - number_at(collection, "Geometry/Graze", math.nan),
        look_azimuth_deg=(number_at(collection, "Geometry/Azimuth", math.nan) + 180) % 360,
        date=second_of(text_of(collection, "Information/CollectionDateTime")),
        radiometry="relative",
        mode=text_of(collection, "Information/RadarMode/ModeType").lower(),
        product_type="SIDD",
        projection="map" if projection == "Geographic" else "ground",
        product="SIDD",
        notes=(note,),
    )


def _geometry(path: Path, document: bytes, shape: tuple[int, int]) -> ControlPoints:
    """A grid of pixels, placed by the product's own projection; whole numbers name pixel centres.

    Raises:
        NoLocation: the metadata do not suffice.
    """
    import lxml.etree

    rows, columns = (axis.ravel() for axis in np.meshgrid(
        np.linspace(0, shape[0], _SIDE), np.linspace(0, shape[1], _SIDE), indexing="ij",
    ))  # fmt: skip
    try:
        tree = lxml.etree.fromstring(document).getroottree()
        points = sarkit("sidd").pixel_to_ecef(tree, np.column_stack([rows, columns]) - 0.5)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, lxml.etree.LxmlError) as error:
        raise NoLocation(f"{path} cannot be placed, its metadata do not suffice ({error}).") from error
    return on_earth(rows, columns, np.asarray(points))
