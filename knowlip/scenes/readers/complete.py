"""Notice a truncated raster when it is opened, not when its last window is cut."""

from rasterio.windows import Window

from knowlip.scenes.raster import Raster


def require_end(raster: Raster) -> None:
    """Read the last pixels of the raster (plain TIFFs end with them).

    Raises:
        DamagedProduct: they cannot be read.
    """
    rows, columns = raster.shape
    side = min(16, rows), min(16, columns)
    raster.values(Window(columns - side[1], rows - side[0], side[1], side[0]))
