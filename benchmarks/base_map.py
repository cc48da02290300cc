"""Make `knowlip/pages/world.json`: land and borders of countries for the maps of pages.

    npm install world-atlas@2
    python -m benchmarks.base_map node_modules/world-atlas/countries-50m.json

Source: the npm package `world-atlas` 2.0.2 (ISC), which holds Natural Earth 1:50m (public domain) as TopoJSON. Lines
are simplified (Douglas-Peucker, 0.04 degrees) and rounded to 0.01 degrees; islands below 0.002 square degrees are left
out.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
import shapely.affinity

from knowlip.base.documents import read_json

OUT: Final = Path(__file__).parents[1] / "knowlip" / "pages" / "world.json"
_TOLERANCE, _LEAST, _DIGITS = 0.04, 0.002, 2


def main() -> None:
    """Write one feature of land and one of borders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("topology", type=Path)
    topology: Any = read_json(parser.parse_args().topology)
    scale, offset = (np.asarray(topology["transform"][key]) for key in ("scale", "translate"))
    arcs = [np.cumsum(np.asarray(arc), axis=0) * scale + offset for arc in topology["arcs"]]

    def ring(numbers: list[int]) -> np.ndarray:
        parts = [arcs[one] if one >= 0 else arcs[~one][::-1] for one in numbers]
        return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])

    # An arc of two countries is a border; the land is what they have together.
    uses = np.zeros(len(arcs), int)
    countries = []
    for country in topology["objects"]["countries"]["geometries"]:
        shapes = {"Polygon": [country.get("arcs", [])], "MultiPolygon": country.get("arcs", [])}[country["type"]]
        for rings in shapes:
            for numbers in rings:
                uses[[one if one >= 0 else ~one for one in numbers]] += 1
            outlines = [_unwrapped(ring(numbers)) for numbers in rings]
            if len(outlines[0]) >= 4:
                countries += _within(shapely.make_valid(shapely.Polygon(outlines[0], outlines[1:])))
    land = shapely.union_all(countries, grid_size=1e-4).simplify(_TOLERANCE)
    parts = [part for part in shapely.get_parts(land) if part.geom_type == "Polygon" and part.area >= _LEAST]
    lines = [shapely.LineString(arcs[at]).simplify(_TOLERANCE) for at in np.flatnonzero(uses > 1)]
    features = [
        {"type": "Feature", "properties": {"kind": kind}, "geometry": _rounded(shape)}
        for kind, shape in (("land", shapely.MultiPolygon(parts)), ("border", shapely.MultiLineString(lines)))
    ]
    OUT.write_text(json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":")) + "\n")
    print(OUT, OUT.stat().st_size, "bytes")


def _unwrapped(ring: np.ndarray) -> np.ndarray:
    """A ring whose longitudes do not jump at the antimeridian; one around the pole is closed along its parallel."""
    lon = np.unwrap(ring[:, 0], period=360.0)
    if abs(lon[-1] - lon[0]) > 180:
        ends = [(lon[-1], -90.0), (lon[0], -90.0), (lon[0], ring[0, 1])]
        return np.concatenate([np.column_stack([lon, ring[:, 1]]), np.array(ends)])
    return np.column_stack([lon, ring[:, 1]])


def _within(shape: Any) -> list[Any]:
    """The parts of a shape between -180 and 180 degrees, those beyond brought there."""
    parts = []
    for turn in (-360.0, 0.0, 360.0):
        part = shapely.intersection(shapely.affinity.translate(shape, turn), shapely.box(-180, -90, 180, 90))
        if not part.is_empty:
            parts.append(part)
    return parts


def _rounded(shape: Any) -> dict[str, Any]:
    def short(value: Any) -> Any:
        return [short(one) for one in value] if isinstance(value, list | tuple) else round(float(value), _DIGITS)

    told = shapely.geometry.mapping(shape)
    return {"type": told["type"], "coordinates": short(told["coordinates"])}


if __name__ == "__main__":
    main()
