"""A raster whose metadata a reader has understood, as a scene: what readers of detected products with one calibration
constant share."""

import math
from dataclasses import dataclass
from pathlib import Path

from knowlip.scenes.calibration import Constant, Radiometry
from knowlip.scenes.errors import DamagedProduct, NotCalibrated, UnknownFormat
from knowlip.scenes.geometry import Geometry
from knowlip.scenes.names import slug
from knowlip.scenes.quantities import conversion, relative
from knowlip.scenes.raster import Raster
from knowlip.scenes.readers.common import gated, require_data, require_end
from knowlip.scenes.readers.geotiff import Header, geometry_of, raster_of, read_header
from knowlip.scenes.scene import Scene, SceneOverrides


@dataclass(frozen=True)
class SceneFacts:
    """What the metadata of a product say of one image. Unknown numbers are NaN, unknown words ""."""

    product: str  # Name of the reader.
    name: str  # Of the product, for the identifier.
    sensor: str
    band: str
    unit: str = ""
    polarisation: str = ""
    quantity: str = ""  # Of the power times `factor`; "": not calibrated.
    factor: float = math.nan  # quantity = factor * power.
    terrain: bool = False  # The relief is taken out of the quantity: it is not brought to another one.
    why: str = "its metadata hold no calibration constant"  # Where there is no factor.
    date: str = ""
    orbit: str = ""
    look_side: str = ""
    look_azimuth_deg: float = math.nan
    incidence_deg: float = math.nan
    mode: str = ""
    product_type: str = ""
    projection: str = "map"
    looks: float = 0.0
    frequency_ghz: float = math.nan
    notes: tuple[str, ...] = ()


def tiff_of(image: Path, size: tuple[int, int] | None = None, complex_bands: bool = False) -> tuple[Header, Raster]:
    """Header and raster of an image whose pixels are amplitudes, or complex numbers.

    Args:
        image: a GeoTIFF.
        size: rows and columns that the metadata state; None: they state none.
        complex_bands: of two bands the second is the imaginary part.

    Raises:
        DamagedProduct: it is absent, cannot be opened, is cut off, or has another size.
    """
    if not image.is_file():
        raise DamagedProduct(f"{image} is missing, is the product complete?")
    try:
        header = read_header(image)
    except UnknownFormat as error:
        raise DamagedProduct(f"{image} cannot be opened, is the product complete? ({error.__cause__})") from error
    if size is not None and header.shape != size:
        there = f"{header.shape[1]} x {header.shape[0]} pixels"
        raise DamagedProduct(f"{image} has {there}, its metadata say {size[1]} x {size[0]}.")
    raster = raster_of(image, header, 1, 2 if complex_bands and len(header.dtypes) == 2 else 0)
    if raster.units != "complex":
        raster.units = "amplitude"
    require_end(raster)
    return header, raster


def described(
    path: Path,
    raster: Raster,
    facts: SceneFacts,
    overrides: SceneOverrides,
    many: bool,
    sources: tuple[Path, ...],
    geometry: Geometry | None = None,
    header: Header | None = None,
) -> Scene:
    """The scene of a raster and its facts, calibrated where it can be.

    Args:
        path: what the user named.
        raster: of the pixels, units known; gets its calibration, unless it has one.
        facts: of the metadata.
        overrides: of the user.
        many: whether other polarisations become scenes too.
        sources: files that it is read from.
        geometry: where its pixels lie; None: what `header` says.
        header: of the raster.

    Raises:
        SceneError: no place, no valid pixel, a quantity that cannot be given.
    """
    if geometry is None:
        assert header is not None
        geometry = geometry_of(header, sources[0], overrides)
    notes = list(facts.notes)
    # A reader with a table of factors has calibrated already; one constant is applied here.
    if raster.calibration is None:
        quantity, note = _calibrate(raster, facts, overrides, sources[0])
        notes += [note] if note else []
    else:
        quantity = raster.calibration.quantity
    require_data(raster)
    scene = Scene(
        path=path,
        scene_id=slug(facts.name) + (f"-{facts.polarisation.lower()}" if many and facts.polarisation else ""),
        raster=raster,
        geometry=geometry,
        sensor=overrides.sensor or facts.sensor,
        unit=facts.unit,
        band=overrides.band or facts.band,
        polarisation=facts.polarisation,
        looks=facts.looks,
        incidence_deg=facts.incidence_deg,
        look_azimuth_deg=facts.look_azimuth_deg,
        look_side=facts.look_side,
        orbit=facts.orbit,
        date=facts.date,
        radiometry="relative" if quantity == "none" else "calibrated",
        quantity=quantity,
        mode=facts.mode,
        product_type=facts.product_type,
        projection=facts.projection,
        product=facts.product,
        frequency_ghz=facts.frequency_ghz,
        sources=sources,
        notes=tuple(notes),
    )
    return gated(scene, overrides, sources[0])


def _calibrate(raster: Raster, facts: SceneFacts, overrides: SceneOverrides, source: Path) -> tuple[str, str]:
    """Quantity that the raster holds once it is calibrated, and a note."""
    known = bool(facts.quantity) and math.isfinite(facts.factor) and facts.factor > 0
    # A factor belongs to the product's own numbers; who says that these are others has changed them.
    changed = bool(facts.quantity) and raster.units in ("intensity", "db")
    if not overrides.calibrate or not known or changed:
        why = "its pixels are said to be no longer the numbers of the product" if changed else facts.why
        return "none", relative(source, overrides, why)
    wanted, held = overrides.quantity, facts.quantity
    if facts.terrain and wanted != held:
        if wanted != "sigma0":
            raise NotCalibrated(f"{source} holds {held} with the relief taken out, which {wanted} cannot be made of.")
        wanted = held  # sigma0 is the default, no demand
    if wanted == "sigma0" != held and not math.isfinite(facts.incidence_deg):
        wanted = held
    factor = float(conversion(held, wanted, facts.incidence_deg, source)) * facts.factor
    if factor != 1:
        raster.calibration = Radiometry(wanted, Constant(factor))
    angle = f"{facts.incidence_deg:.1f} degrees"
    if overrides.quantity == "sigma0" and held == "beta0" == wanted:
        return wanted, "Read as beta0: its metadata hold no incidence angle to make sigma0 with."
    note = "" if wanted == held else f"{wanted} is made of {held} by one incidence angle for the whole scene ({angle})."
    return wanted, note
