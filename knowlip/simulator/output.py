"""Writing one scene: image, land-cover mask and truth, each file whole or absent, the truth last."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.io import MemoryFile
from rasterio.transform import Affine, from_origin

from knowlip.base.documents import read_json
from knowlip.base.files import whole_file
from knowlip.scenes.opening import open_raster
from knowlip.simulator.radar import RadarImage
from knowlip.simulator.sensors import Sensor
from knowlip.simulator.world import SceneObject, World

DATE = "2025-06-01"


@dataclass(frozen=True)
class UtmGrid:
    """Where a world lies on Earth: UTM zone and the easting and northing of its centre."""

    epsg: int
    easting: float
    northing: float

    @classmethod
    def around(cls, lon: float, lat: float) -> "UtmGrid":
        """The UTM grid of a place, its centre rounded to 10 m."""
        zone = int((lon + 180.0) // 6.0) % 60 + 1
        epsg = (32600 if lat >= 0 else 32700) + zone
        x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
        return cls(epsg, round(x, -1), round(y, -1))

    def transform(self, size: float, step: float) -> Affine:
        """Of a north-up raster of `size` metres around the centre with pixels of `step` metres."""
        return from_origin(self.easting - size / 2, self.northing + size / 2, step, step)


def files(out: Path, name: str) -> dict[str, Path]:
    """Paths of a scene's three files."""
    return {
        "image": out / f"{name}.tif",
        "landcover": out / f"{name}.landcover.tif",
        "truth": out / f"{name}.truth.geojson",
    }


def _write(path: Path, data: bytes) -> None:
    try:
        with whole_file(path) as part:
            part.write_bytes(data)
    except OSError as error:
        raise ValueError(f"Cannot write {path}: {error.strerror or error}.") from error


_FORMAT = {"driver": "GTiff", "count": 1, "nodata": 0, "compress": "deflate", "zlevel": 1, "num_threads": 1}
_BLOCKS = {"tiled": True, "blockxsize": 512, "blockysize": 512}


def _geotiff(array: NDArray[Any], grid: UtmGrid, transform: Affine, tags: dict[str, str]) -> bytes:
    """A tiled, deflated GeoTIFF as bytes."""
    size = {"height": array.shape[0], "width": array.shape[1], "dtype": array.dtype.name}
    place = {"crs": f"EPSG:{grid.epsg}", "transform": transform}
    with MemoryFile() as memory:
        with memory.open(**_FORMAT, **_BLOCKS, **size, **place) as raster:
            raster.write(array, 1)
            raster.update_tags(**tags)
        return bytes(memory.read())


def write_scene(
    paths: dict[str, Path], scene: dict[str, Any], world: World, drawn: RadarImage, sensor: Sensor, grid: UtmGrid
) -> None:
    """Write image, land cover and truth. An older truth goes first, so that it never stands beside a newer image."""
    paths["truth"].unlink(missing_ok=True)
    largest = np.iinfo(np.uint16).max if sensor.dtype == "uint16" else np.inf
    values = drawn.amplitude * np.float32(sensor.amplitude_scale)
    if sensor.dtype == "uint16":
        values = np.clip(np.rint(values), 1, largest).astype(np.uint16)
    # The tags that the GeoTIFF reader believes before the file's name or the data.
    tags = {
        "KNOWLIP_SENSOR": sensor.name,
        "KNOWLIP_BAND": sensor.band,
        "KNOWLIP_POLARISATION": "HH",
        "KNOWLIP_UNITS": "amplitude",
        "KNOWLIP_AMPLITUDE_SCALE": str(sensor.amplitude_scale),
        "KNOWLIP_LOOKS": str(sensor.looks),
        "KNOWLIP_INCIDENCE_DEG": str(scene["incidence_deg"]),
        "KNOWLIP_LOOK_AZIMUTH_DEG": str(scene["look_azimuth_deg"]),
        "KNOWLIP_DATE": DATE,
        "KNOWLIP_RADIOMETRY": "simulated",
    }
    _write(paths["image"], _geotiff(values, grid, grid.transform(world.size, sensor.resolution_m), tags))
    k = sensor.cover_factor
    cover = np.ascontiguousarray(drawn.cover[k // 2 :: k, k // 2 :: k])
    cover_tags = {"KNOWLIP_SENSOR": sensor.name, "KNOWLIP_DATE": DATE}
    transform = grid.transform(world.size, sensor.resolution_m * k)
    _write(paths["landcover"], _geotiff(cover, grid, transform, cover_tags))
    _write(paths["truth"], _truth(scene, world, grid))


def _truth(scene: dict[str, Any], world: World, grid: UtmGrid) -> bytes:
    """GeoJSON of the objects that touch the scene."""
    things: list[SceneObject] = []
    for thing in world.things:
        low, high = thing.ring.min(axis=0), thing.ring.max(axis=0)
        if (high > -world.size / 2).all() and (low < world.size / 2).all():
            things.append(thing)
    corners = np.array([thing.ring for thing in things]).reshape(-1, 2) + np.array([grid.easting, grid.northing])
    lon, lat = Transformer.from_crs(grid.epsg, 4326, always_xy=True).transform(corners[:, 0], corners[:, 1])
    degrees = np.round(np.stack([lon, lat], axis=1), 8).reshape(-1, 4, 2)
    features = []
    for thing, ring in zip(things, degrees):
        signed = np.roll(ring[:, 0], -1) @ ring[:, 1] - ring[:, 0] @ np.roll(ring[:, 1], -1)
        ordered = ring[::-1] if signed > 0 else ring  # RFC 7946: counter-clockwise
        geometry = {"type": "Polygon", "coordinates": [[*ordered.tolist(), ordered[0].tolist()]]}
        metres = {f"{name}_m": round(getattr(thing, name), 2) for name in ("length", "width", "height")}
        properties = {"category": thing.category, "type": thing.type, **metres, "heading_deg": round(thing.heading, 2)}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    collection = {"type": "FeatureCollection", "scene": scene, "features": features}
    return (json.dumps(collection, allow_nan=False, separators=(",", ":")) + "\n").encode()


def finished(paths: dict[str, Path], scene: dict[str, Any]) -> bool:
    """Whether all three files exist and the truth records exactly these parameters."""
    if not all(path.exists() for path in paths.values()):
        return False
    try:
        if read_json(paths["truth"]).get("scene") != scene:
            return False
        for kind in ("image", "landcover"):
            open_raster(paths[kind]).close()
    except (ValueError, AttributeError, rasterio.errors.RasterioIOError):
        return False
    return True
