"""Sentinel-1 Level-1 GRD and SLC in ESA's SAFE format: the .SAFE folder, its manifest.safe, or a zip archive of it.

Source: Sentinel-1 Product Specification (S1-RS-MDA-52-7441).
"""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from knowlip.scenes.calibration import Field, Radiometry
from knowlip.scenes.errors import DamagedProduct, NotCalibrated, UnknownFormat
from knowlip.scenes.names import slug
from knowlip.scenes.raster import RasterFile
from knowlip.scenes.readers.common import choose, gated, require_data, require_end
from knowlip.scenes.readers.geotiff import raster_of, read_header
from knowlip.scenes.readers.relief import relief_note, require_inside
from knowlip.scenes.readers.sentinel1_annotation import SwathImage, read_image
from knowlip.scenes.readers.sentinel1_bursts import BurstRaster, Bursts, OverBursts, read_bursts
from knowlip.scenes.readers.sentinel1_calibration import read_gain, read_noise, require_same
from knowlip.scenes.readers.sentinel1_safe import Safe, open_safe
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.xml import read_xml

NAME = "Sentinel-1 SAFE"
_GRID_ALONE = (
    "Its annotation holds no changes of the conversion to ground range that can be used: columns follow the "
    "geolocation grid alone, between whose lines they may be some pixels off over mountains."
)
_POLARISATION = re.compile(r"(?:^|-)([vh][vh])(?:-|$)", re.IGNORECASE)
_MOST_LINES = 2.0
_NAMED = 32
"""Characters of a product's name up to its start time."""


def matches(path: Path) -> bool:
    return open_safe(path) is not None


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One scene per chosen polarisation, and per swath where the product keeps swaths apart (SLC).

    The bursts of a TOPS swath become one raster; slant range is projected through the geolocation grid.

    Raises:
        SceneError: a file is missing, truncated or contradicts another; a calibration factor is not positive; the
            geolocation grid contradicts itself.
    """
    safe = open_safe(path)
    if safe is None:
        raise UnknownFormat(f"{path} is not a Sentinel-1 product: a folder with manifest.safe, or a zip of one.")
    images, wanted = safe.images(), overrides.polarisation.upper()
    if wanted not in images.values():
        missing = next((stem for stem, own in safe.listed().items() if own == wanted), "")
        if missing:
            raise DamagedProduct(f"{safe.label(safe.measurement(missing))} or its annotation is missing.")
    there = sorted(set(images.values()), key=("VV", "VH", "HH", "HV").index)
    stems = [stem for chosen in choose(there, overrides, path) for stem, own in images.items() if own == chosen]
    absent = safe.absent()
    notes: tuple[str, ...] = (f"Not on disk, so not read: {', '.join(absent)}.",) if absent else ()
    if strangers := safe.unlisted():
        notes += (f"Not read, as the manifest does not list them: {', '.join(strangers[:4])}.",)
    return [_open(safe, stem, overrides, notes) for stem in stems]


def _open(safe: Safe, stem: str, overrides: SceneOverrides, notes: tuple[str, ...]) -> Scene:
    names = [safe.annotation(stem), safe.measurement(stem)]
    label = safe.label(names[0])
    annotation = read_xml(safe.read(names[0]), label)
    image = read_image(annotation, label)
    named = _POLARISATION.search(stem)
    if named and named[1].upper() != image.polarisation:
        raise DamagedProduct(f"{label} is of {image.polarisation}, its name of {named[1].upper()}: was it renamed?")
    bursts = read_bursts(annotation, image.first_line, image.line_seconds, image.shape[0], label)
    raster = _raster(safe, names[1], image, bursts)
    if overrides.calibrate:
        names += _calibrate(raster, safe, stem, bursts, overrides, annotation)
    require_data(raster)
    grid = image.grid
    rows = grid.lines if bursts is None else grid.seconds / image.line_seconds - bursts.offset
    require_inside(grid.pixels, rows, raster.shape, safe.path)
    apart = float(np.abs(grid.seconds / image.line_seconds - grid.lines).max()) if bursts is None else 0.0
    if apart > _MOST_LINES:
        notes += (f"Times and lines of its geolocation grid lie up to {apart:.0f} lines apart: doubt its places.",)
    level = float(np.median(grid.heights)) if overrides.height_m is None else overrides.height_m
    smooth = grid.at_height(level, image.look_azimuth_deg)
    geometry = grid.control_points(rows + 0.5) if overrides.height_m is None else smooth.smooth_points(rows + 0.5)
    scene = Scene(
        path=safe.path,
        scene_id=slug(stem if stem.lower().startswith("s1") else f"{safe.root.stem[:_NAMED]}-{stem}"),
        raster=raster,
        geometry=geometry,
        sensor=overrides.sensor or "sentinel-1",
        unit=image.unit,
        band=overrides.band or "C",
        polarisation=image.polarisation,
        looks=image.looks,
        incidence_deg=image.incidence_deg,
        look_azimuth_deg=image.look_azimuth_deg,
        look_side="right",
        orbit=image.orbit,
        date=image.date,
        radiometry="calibrated" if overrides.calibrate else "relative",
        quantity=overrides.quantity if overrides.calibrate else "none",
        mode=image.mode,
        product_type=image.product_type,
        projection=image.projection,
        product=NAME,
        frequency_ghz=image.frequency_ghz,
        sources=safe.files([*(["manifest.safe"] if safe.exists("manifest.safe") else []), *names]),
    )
    # Relief moves points of the grid by more than pixels: whether they belong together shows at one height.
    gated(scene, overrides, safe.path, smooth.control_points(rows + 0.5))
    if image.product_type == "GRD" and grid.updates is None and (overrides.dem or overrides.height_m is not None):
        notes += (_GRID_ALONE,)
    return replace(scene, notes=notes + relief_note(grid.heights, scene.geometry.residual_m, scene.resolution_m))


def _raster(safe: Safe, name: str, image: SwathImage, bursts: Bursts | None) -> RasterFile:
    """The measurement, checked against its annotation."""
    label = safe.label(name)
    if not safe.exists(name):
        raise DamagedProduct(f"{label} is missing, is the product complete?")
    path = safe.root if safe.archived else safe.root / name
    try:
        header = read_header(path, safe.source(name))
    except UnknownFormat as error:
        raise DamagedProduct(f"{label} cannot be opened, is the product complete? ({error.__cause__})") from error
    if header.shape != image.shape:
        raise DamagedProduct(
            f"{label} has {header.shape[1]} x {header.shape[0]} pixels, its annotation says "
            f"{image.shape[1]} x {image.shape[0]}."
        )
    raster = raster_of(path, header, source=safe.source(name))
    require_end(raster)
    if raster.units != "complex":
        raster.units = "amplitude"
    if bursts is None:
        return raster
    shape = bursts.rows, header.shape[1]
    return BurstRaster(path, raster.units, shape, raster.dtype, np.nan, source=raster.source, bursts=bursts)


def _calibrate(
    raster: RasterFile, safe: Safe, stem: str, bursts: Bursts | None, overrides: SceneOverrides, annotation: Element
) -> list[str]:
    """Give the raster its calibration and, where asked for, its noise; names of the annotations they come from."""
    names = [f"annotation/calibration/{kind}-{stem}.xml" for kind in ("calibration", "noise")]
    labels = [safe.label(name) for name in names]
    if not safe.exists(names[0]):
        why = "is missing, so the product cannot be calibrated; read it with --read.calibrate false."
        raise NotCalibrated(f"{labels[0]} {why}")
    tables = read_xml(safe.read(names[0]), labels[0])
    require_same(annotation, tables, labels[0])
    # Lines of bursts are others than those of the raster, so only its columns are held against the table.
    gain: Field = read_gain(
        tables, overrides.quantity, labels[0], (raster.shape[0] if bursts is None else 0, raster.shape[1])
    )
    noise: Field | None = None
    if overrides.denoise:
        removed = read_xml(safe.read(names[1]), labels[1])
        require_same(annotation, removed, labels[1])
        noise = read_noise(removed, labels[1])
    if bursts is not None:
        gain = OverBursts(gain, bursts)
        noise = OverBursts(noise, bursts) if noise is not None else None
    raster.calibration = Radiometry(overrides.quantity, gain, noise)
    return names[: 2 if overrides.denoise else 1]
