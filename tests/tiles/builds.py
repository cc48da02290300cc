"""Small builds and the hashes of what they wrote, for tests of the build stage."""

import hashlib
from pathlib import Path

import rasterio

from knowlip.tiles.build import BuildConfig
from knowlip.tiles.quality import QualityConfig

SIZES = (256.0, 128.0, 64.0)


def config(scenes: Path, out: Path, **changes) -> BuildConfig:
    """A build of 64 px tiles in this process. Neighbours do not vote: generated speckle is like no real image."""
    settings = {"windows_m": SIZES, "tile_px": 64, "workers": 1, "quality": QualityConfig(min_good=0.0), **changes}
    return BuildConfig([Path(scenes)], Path(out), **settings)


def hashes(folder: Path) -> dict[str, str]:
    """Path in the folder -> SHA-256, of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def damage(path: Path) -> None:
    """Compress a GeoTIFF and overwrite the middle of its pixels: it opens, and fails when the middle is read."""
    with rasterio.open(path) as source:
        values, tags, profile = source.read(), source.tags(), source.profile
    with rasterio.open(path, "w", **{**profile, "compress": "deflate", "blockysize": 1}) as target:
        target.write(values)
        target.update_tags(**tags)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle - 500 : middle + 500] = bytes(1000)
    path.write_bytes(data)
