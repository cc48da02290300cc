"""What readers share: which polarisations become scenes, a folder as a product, and checks of what was opened."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rasterio.windows import Window

from knowlip.scenes.control import ControlPoints, gate
from knowlip.scenes.errors import NoData, NotStated, UnknownFormat
from knowlip.scenes.layers import quantity_named
from knowlip.scenes.raster import Raster
from knowlip.scenes.scene import Scene, SceneOverrides

_SCENES = set(".tif .tiff .ntf .nitf .nsf .sicd .sidd .cphd .h5 .hdf5 .npy .yaml .yml .zip .tar .gz".split())
"""Ends of files that may be a scene, or describe one."""
_BEST = ("sigma0", "gamma0", "beta0")
BY_CORNERS = "Placed by the four corners of its metadata{}: within the scene it may be off by many pixels."
"""Note of a product without a better place."""


def choose(there: Sequence[str], overrides: SceneOverrides, path: Path) -> list[str]:
    """Polarisations to open: "all", the one the user names, else VV, else HH, else the first.

    Raises:
        UnknownFormat: the product does not hold the polarisation asked for, or none at all.
    """
    if not there:
        raise UnknownFormat(f"{path} holds no polarisation that can be read.")
    wanted = overrides.polarisation.upper()
    if wanted == "ALL":
        return list(there)
    if wanted:
        if wanted not in there:
            raise UnknownFormat(f"{path} holds {', '.join(there)}, not {wanted}; choose with --read.polarisation.")
        return [wanted]
    return [next((name for name in ("VV", "HH") if name in there), there[0])]


def rank(name: str, overrides: SceneOverrides, pair: bool = False) -> int:
    """Which of several bands of one polarisation is read, by its name; the lowest is: the quantity asked for, then
    sigma0, gamma0 and beta0, then intensity, amplitude, what says nothing, and the pair of a complex number."""
    quantity = quantity_named(name)
    order = (overrides.quantity, *(one for one in _BEST if one != overrides.quantity))
    kinds = ("intensity", "amplitude")
    kind = next((k for k, word in enumerate(kinds) if word in name.lower()), 3 if pair else 2)
    return order.index(quantity) if quantity else len(order) + kind


def others_note(read: str, others: Iterable[str]) -> str:
    """A note of bands of one polarisation of which one is read."""
    return f"Band {read} is read; others of its polarisation are not: {', '.join(others)}."


def require_polarisation(held: str, overrides: SceneOverrides, path: Path) -> str:
    """The single polarisation that a product holds, "" where it says none. What it does not say is no label to be given
    by asking for it: only who also names the band says what it is.

    Raises:
        UnknownFormat: the user asks for another one.
        NotStated: the user asks for one, and the product states none.
    """
    wanted = overrides.polarisation.upper()
    if wanted in ("", "ALL", held):
        return held
    if held:
        raise UnknownFormat(f"{path} holds {held}, not {wanted}; choose with --read.polarisation.")
    if overrides.raster_band:
        return wanted
    raise NotStated(
        f"{path} does not say which polarisation it holds, so {wanted} cannot be chosen: say which band it is (--read."
        f"raster_band 1 --read.polarisation {wanted}), or describe the file in {path.stem}.scene.yaml (docs/scenes.md)."
    )


def require_data(raster: Raster) -> None:
    """Close the raster, once it is known to hold something.

    Raises:
        NoData: not a single pixel is valid.
    """
    if not raster.has_data():
        raise NoData(f"{raster.path} holds no valid pixel: all of it is nodata.")
    raster.close()


def require_end(raster: Raster) -> None:
    """Read the last pixels (plain TIFFs end with them): a truncated file is noticed here, not when tiles are cut.

    Raises:
        DamagedProduct: they cannot be read.
    """
    rows, columns = raster.shape
    side = min(16, rows), min(16, columns)
    raster.values(Window(columns - side[1], rows - side[0], side[1], side[0]))


def gated(scene: Scene, overrides: SceneOverrides, path: Path, points: ControlPoints | None = None) -> Scene:
    """The scene, if its control points (or the given ones) agree with each other.

    Raises:
        PoorGeolocation: they do not; the sentence names `path`.
    """
    points = points or (scene.geometry if isinstance(scene.geometry, ControlPoints) else None)
    if points is not None:
        gate(points, path, scene.resolution_m, overrides.max_residual_m)
    return scene


@dataclass(frozen=True)
class ProductFiles:
    """How a product of one image and its companions is found: by the image, or by a folder that holds it and no other
    scene, so that none is ever passed over."""

    name: str
    is_entry: Callable[[Path], bool]  # Whether a file is the image.
    owned: Callable[[Path], Iterable[Path]]  # Files that belong to the product of an image.

    def matches(self, path: Path) -> bool:
        """A file of the product's name, or a folder with one product and no other scene."""
        return self.find(path) is not None

    def parts(self, path: Path) -> list[Path]:
        """Files that the product owns beside its entry."""
        entry = self.find(path)
        return list(self.owned(entry)) if entry else []

    def entry(self, path: Path) -> Path:
        """The image of the product at `path`.

        Raises:
            UnknownFormat: it is none.
        """
        entry = self.find(path)
        if entry is None:
            raise UnknownFormat(f"{path} is no product of {self.name}.")
        return entry

    def find(self, path: Path) -> Path | None:
        """The image of the product at `path`; of a folder only where it has no subfolders."""
        if not path.is_dir():
            return path if path.is_file() and self.is_entry(path) else None
        try:
            entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        except OSError:
            return None
        found = [entry for entry in entries if self.is_entry(entry) and entry.is_file()]
        if len(found) != 1 or any(entry.is_dir() for entry in entries):
            return None
        mine = {found[0], *self.owned(found[0])}
        others = [entry for entry in entries if entry.suffix.lower() in _SCENES and entry not in mine]
        return None if others else found[0]
