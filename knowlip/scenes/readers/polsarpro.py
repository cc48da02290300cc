"""PolSARpro folders of covariance (C2, C3, C4) and coherency (T3, T4) matrices: one file of plain numbers an element.

Powers are those of the matrix's diagonal, by the order of the target vectors: C3 = [HH, sqrt(2) HV, VV], C4 = [HH, HV,
VH, VV], T3 = [HH + VV, HH - VV, 2 HV] / sqrt(2). What `config.txt` says of the polarisations decides for C2 (pp1: HH,
HV; pp2: VV, VH; pp3: HH, VV).

Source: PolSARpro v6 tutorial and file formats (ESA, University of Rennes 1).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.windows import Window

from knowlip.scenes.errors import DamagedProduct, UnknownFormat
from knowlip.scenes.opening import envi_header, require_file
from knowlip.scenes.raster import Raster, RasterFile
from knowlip.scenes.readers.common import choose
from knowlip.scenes.readers.described import SceneFacts, described
from knowlip.scenes.readers.geotiff import raster_of, read_header
from knowlip.scenes.scene import Scene, SceneOverrides

NAME = "PolSARpro"
ORDER = 40

_Terms = tuple[tuple[float, str], ...]
_POWERS: dict[str, dict[str, _Terms]] = {
    "C3": {"HH": ((1, "C11"),), "HV": ((0.5, "C22"),), "VV": ((1, "C33"),)},
    "C4": {"HH": ((1, "C11"),), "HV": ((1, "C22"),), "VH": ((1, "C33"),), "VV": ((1, "C44"),)},
    "T3": {
        "HH": ((0.5, "T11"), (0.5, "T22"), (1, "T12_real")),
        "HV": ((0.5, "T33"),),
        "VV": ((0.5, "T11"), (0.5, "T22"), (-1, "T12_real")),
    },
    # The fourth element is i (HV - VH) / sqrt 2.
    "T4": {
        "HH": ((0.5, "T11"), (0.5, "T22"), (1, "T12_real")),
        "HV": ((0.5, "T33"), (0.5, "T44"), (-1, "T34_imag")),
        "VH": ((0.5, "T33"), (0.5, "T44"), (1, "T34_imag")),
        "VV": ((0.5, "T11"), (0.5, "T22"), (-1, "T12_real")),
    },
}
_PAIRS = {"pp1": ("HH", "HV"), "pp2": ("VV", "VH"), "pp3": ("HH", "VV")}
_LARGEST_CONFIG = 100_000


@dataclass
class MatrixPower(Raster):
    """A weighted sum of files of one size."""

    terms: tuple[tuple[float, RasterFile], ...] = ()

    def values(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        total, valid = None, None
        for weight, raster in self.terms:
            values, mask = raster.values(window)
            part = values.astype(np.float32) * np.float32(weight)
            total = part if total is None else total + part
            valid = mask if valid is None else valid if mask is None else valid & mask
        assert total is not None
        # Nothing declares what is no data; PolSARpro leaves zeros around an image, which the collar finds.
        return np.maximum(total, 0), valid

    def close(self) -> None:
        for _, raster in self.terms:
            raster.close()


def matches(path: Path) -> bool:
    return path.is_dir() and _kind_of(path) != ""


def parts(path: Path) -> list[Path]:
    """Every file of the folder."""
    return [member for member in path.iterdir() if member.is_file()]


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One scene per chosen polarisation, in power that nothing calibrates.

    Raises:
        SceneError: an element is missing or has another size, or no header places it.
    """
    kind, config = _kind_of(path), _config(path)
    powers = _POWERS.get(kind) or _pair(path, config)
    chosen = choose(list(powers), overrides, path)
    return [_open(path, kind, name, powers[name], len(chosen) > 1, config, overrides) for name in chosen]


def _pair(path: Path, config: dict[str, str]) -> dict[str, _Terms]:
    pair = _PAIRS.get(config.get("PolarType", "").lower())
    if pair is None:
        raise UnknownFormat(
            f"{path / 'config.txt'} does not say which two polarisations C2 holds (PolarType pp1, pp2 or pp3)."
        )
    return {pair[0]: ((1, "C11"),), pair[1]: ((1, "C22"),)}


def _open(
    path: Path,
    kind: str,
    polarisation: str,
    terms: _Terms,
    many: bool,
    config: dict[str, str],
    overrides: SceneOverrides,
) -> Scene:
    rasters, first, sources = [], None, []
    # Elements are rasters of their own, so each is opened through the one door, and all must have one size.
    for weight, element in terms:
        file = path / f"{element}.bin"
        if not file.is_file() or envi_header(file) is None:
            raise DamagedProduct(f"{file} or its header (.hdr) is missing, is the folder complete?")
        header = read_header(file)
        first = first or header
        if header.shape != first.shape or header.dtypes != ("float32",):
            raise DamagedProduct(f"{file} does not have the size of the other elements in numbers of 32 bit.")
        rasters.append((weight, raster_of(file, header)))
        sources.append(file)
    assert first is not None
    stated = tuple(config.get(name, "") for name in ("Nrow", "Ncol"))
    if all(text.isdecimal() for text in stated) and tuple(map(int, stated)) != first.shape:
        raise DamagedProduct(f"{path}: config.txt says {stated[1]} x {stated[0]} pixels, its files another size.")
    raster = MatrixPower(sources[0], "intensity", first.shape, "float32", None, terms=tuple(rasters))
    facts = SceneFacts(
        product=NAME,
        name=f"{path.parent.name}-{path.name}",
        sensor="unknown",
        band="",
        polarisation=polarisation,
        why="a matrix of PolSARpro does not say what it was calibrated to",
        product_type=kind,
        notes=("Sensor, band and date are unknown: PolSARpro keeps none; say them by --read.sensor and --read.band.",),
    )
    return described(path, raster, facts, overrides, many, tuple(sources), header=first)


def _kind_of(path: Path) -> str:
    """ "C3", "T3", ...: by the folder's name, or by its elements; "" where it is none."""
    if (path / "T11.bin").is_file() and (path / "T33.bin").is_file():
        return "T4" if (path / "T44.bin").is_file() else "T3"
    if not (path / "C11.bin").is_file():
        return ""
    count = next((number for number in (4, 3, 2) if (path / f"C{number}{number}.bin").is_file()), 0)
    return f"C{count}" if count else ""


def _config(path: Path) -> dict[str, str]:
    """Names and values of config.txt: each on a line of its own, dashes between."""
    file = path / "config.txt"
    if not file.is_file() or file.stat().st_size > _LARGEST_CONFIG:
        return {}
    require_file(file)
    lines = [line.strip() for line in file.read_text("utf-8", "replace").splitlines()]
    kept = [line for line in lines if line and not set(line) <= {"-"}]
    return dict(zip(kept[::2], kept[1::2]))
