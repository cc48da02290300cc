"""SIDD files, written by sarkit from metadata made here: detected images on a tangent plane or a geographic grid."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyproj

from tests.scenes.products import Product
from tests.scenes.products.orbits import TO_EARTH
from tests.scenes.products.sicd import HEIGHT, LAT, LON

KINDS = ("Plane", "Geographic")


def make(folder: Path, kind: str = "Plane", pixel: str = "MONO8I") -> Product:
    """Write a SIDD on a tangent plane ("Plane") or a geographic grid ("Geographic")."""
    import sarkit.sidd as sksidd

    folder.mkdir(parents=True, exist_ok=True)
    shape, spacing = (220, 260), (0.6, 0.5)
    centre = (shape[0] // 2, shape[1] // 2)
    target = np.array(TO_EARTH.transform(LON, LAT, HEIGHT))
    lon, lat = np.radians(LON), np.radians(LAT)
    east = np.array([-np.sin(lon), np.cos(lon), 0])
    up = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    north = np.cross(up, east)
    turn = np.radians(20)
    right = np.cos(turn) * east + np.sin(turn) * north
    down = np.sin(turn) * east - np.cos(turn) * north
    arcseconds = (0.02, 0.02)
    step = spacing if kind == "Plane" else arcseconds

    def si(tag: str, values: np.ndarray, names: str = "XYZ") -> str:
        inner = "".join(f"<si:{name}>{float(value)!r}</si:{name}>" for name, value in zip(names, values))
        return f"<{tag}>{inner}</{tag}>"

    def row_col(tag: str, row: float, column: float) -> str:
        return f"<{tag}><si:Row>{row}</si:Row><si:Col>{column}</si:Col></{tag}>"

    plane = (
        ""
        if kind != "Plane"
        else (f"<ProductPlane>{si('RowUnitVector', down)}{si('ColUnitVector', right)}</ProductPlane>")
    )
    xml = f"""<SIDD xmlns="urn:SIDD:1.0.0" xmlns:si="urn:SICommon:0.1" xmlns:ism="urn:us:gov:ic:ism">
<ProductCreation><ProcessorInformation><Application>t</Application>
<ProcessingDateTime>2025-09-23T16:22:59Z</ProcessingDateTime><Site>u</Site></ProcessorInformation>
<Classification ism:classification="U"/><ProductName>d</ProductName></ProductCreation>
<Display><PixelType>{pixel}</PixelType></Display>
<GeographicAndTarget><GeographicCoverage><Footprint size="4">
<Vertex index="1"><si:Lat>{LAT}</si:Lat><si:Lon>{LON}</si:Lon></Vertex>
<Vertex index="2"><si:Lat>{LAT}</si:Lat><si:Lon>{LON + 0.01}</si:Lon></Vertex>
<Vertex index="3"><si:Lat>{LAT - 0.01}</si:Lat><si:Lon>{LON + 0.01}</si:Lon></Vertex>
<Vertex index="4"><si:Lat>{LAT - 0.01}</si:Lat><si:Lon>{LON}</si:Lon></Vertex></Footprint></GeographicCoverage>
</GeographicAndTarget>
<Measurement><{kind}Projection><ReferencePoint>{si("si:ECEF", target)}{row_col("si:Point", *centre)}
</ReferencePoint>{row_col("SampleSpacing", *step)}{plane}</{kind}Projection>
{row_col("PixelFootprint", *shape)}</Measurement>
<ExploitationFeatures><Collection identifier="c"><Information><SensorName>UMBRA-04</SensorName>
<RadarMode><si:ModeType>SPOTLIGHT</si:ModeType></RadarMode>
<CollectionDateTime>2025-09-23T15:58:33.000000Z</CollectionDateTime>
<Polarization><TxPolarization>V</TxPolarization><RcvPolarization>V</RcvPolarization></Polarization></Information>
<Geometry><Azimuth>100.0</Azimuth><Graze>52.0</Graze></Geometry></Collection></ExploitationFeatures></SIDD>"""
    number = sksidd.PIXEL_TYPES[pixel]["dtype"]
    pixels = np.clip(np.random.default_rng(17).rayleigh(50, shape), 1, 255)
    stored = pixels.astype(number) if number.names is None else np.zeros(shape, number)
    path = folder / "derived.ntf"
    with (
        path.open("wb") as file,
        warnings.catch_warnings(action="ignore"),  # the metadata leave out what nobody reads
        sksidd.NitfWriter(file, _metadata(xml)) as writer,
    ):
        writer.write_image(0, stored)
    to_degrees = pyproj.Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True)
    truth: Callable
    if kind == "Plane":

        def truth(columns, rows):
            row = (np.asarray(rows, float) - 0.5 - centre[0]) * spacing[0]
            column = (np.asarray(columns, float) - 0.5 - centre[1]) * spacing[1]
            places = target + row[..., None] * down + column[..., None] * right
            lons, lats, _ = to_degrees.transform(places[..., 0], places[..., 1], places[..., 2])
            return lons, lats

    else:

        def truth(columns, rows):
            return (
                LON + (np.asarray(columns, float) - 0.5 - centre[1]) * arcseconds[1] / 3600,
                LAT - (np.asarray(rows, float) - 0.5 - centre[0]) * arcseconds[0] / 3600,
            )

    return Product(path, truth, 0.5, stored.astype(float) ** 2 if number.names is None else None)


def _metadata(xml: str):
    import lxml.etree
    import sarkit.sidd as sksidd

    security = sksidd.NitfSecurityFields(clas="U")
    image = sksidd.NitfProductImageMetadata(
        xmltree=lxml.etree.fromstring(xml).getroottree(),
        im_subheader_part=sksidd.NitfImSubheaderPart(security=security),
        de_subheader_part=sksidd.NitfDeSubheaderPart(security=security),
    )
    return sksidd.NitfMetadata(
        file_header_part=sksidd.NitfFileHeaderPart(ostaid="here", security=security), images=[image]
    )
