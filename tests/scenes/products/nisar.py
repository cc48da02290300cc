"""A tiny NISAR GCOV product with the groups and dataset names of the product specification JPL D-102274."""

from pathlib import Path

import numpy as np
from pyproj import Transformer

from tests.scenes.products import Product
from tests.scenes.products.swath import texture


def make(
    folder: Path,
    polarisations: tuple[str, ...] = ("HH", "HV"),
    shape: tuple[int, int] = (150, 170),
    pixel_m: float = 10.0,
    epsg: int = 32611,
    left_m: float = 400_000.0,
    top_m: float = 3_750_000.0,
    radar: str = "LSAR",
    quantity: str = "gamma0",
    side_band: tuple[str, ...] = (),
    with_mask: bool = True,
    name: str = "NISAR_L2_PR_GCOV_002_109_D_063_4005_DHDH_A_20251012T182508_20251012T182531_X05010_N_P_J_001.h5",
) -> Product:
    """Write a product.

    Args:
        folder: gets the file.
        polarisations: of frequency A.
        shape: rows and columns of frequency A.
        pixel_m: spacing of frequency A.
        epsg: of the map grid.
        left_m: outer left edge of the raster.
        top_m: outer top edge of the raster.
        radar: LSAR or SSAR.
        quantity: what the processing parameters say.
        side_band: polarisations of frequency B, of four times the spacing.
        with_mask: whether the subswath mask is there.
        name: of the file.
    """
    import h5py

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    power = None
    with h5py.File(path, "w") as file:
        product = file.create_group(f"science/{radar}/GCOV")
        about = file.create_group(f"science/{radar}/identification")
        for key, value in {
            "missionId": "NISAR",
            "productType": "GCOV",
            "lookDirection": "Left",
            "orbitPassDirection": "Descending",
            "zeroDopplerStartTime": "2025-10-12T18:25:08.000000000",
            "zeroDopplerEndTime": "2025-10-12T18:25:31.0",
        }.items():
            about[key] = np.bytes_(value)
        about["absoluteOrbitNumber"] = np.uint32(2109)
        parameters = product.create_group("metadata/processingInformation/parameters/rtc")
        parameters["outputBackscatterNormalizationConvention"] = np.bytes_(quantity)
        cube = product.create_group("metadata/radarGrid")
        cube["heightAboveEllipsoid"] = np.array([-500.0, 0.0, 500.0])
        angles = np.array([20.0, 37.0, 50.0])[:, None, None] + np.zeros((3, 6, 7))
        cube["incidenceAngle"] = angles.astype(np.float32)
        # The radar stands in the east (looking west, azimuth 260).
        cube["losUnitVectorX"] = np.full((3, 6, 7), np.sin(np.radians(80)) * np.sin(np.radians(37)), np.float32)
        cube["losUnitVectorY"] = np.full((3, 6, 7), np.cos(np.radians(80)) * np.sin(np.radians(37)), np.float32)
        for frequency, names, step in (("frequencyA", polarisations, 1), ("frequencyB", side_band, 4)):
            if not names:
                continue
            size = shape[0] // step, shape[1] // step
            grid = product.create_group(f"grids/{frequency}")
            spacing = pixel_m * step
            grid["xCoordinates"] = left_m + spacing * (np.arange(size[1]) + 0.5)
            grid["yCoordinates"] = top_m - spacing * (np.arange(size[0]) + 0.5)
            grid["xCoordinateSpacing"], grid["yCoordinateSpacing"] = spacing, -spacing
            grid["projection"] = np.uint32(epsg)
            grid["projection"].attrs["epsg_code"] = epsg
            grid["listOfPolarizations"] = np.array(names, "S2")
            grid["listOfCovarianceTerms"] = np.array([n + n for n in names], "S4")
            grid["centerFrequency"] = 1.2575e9
            grid.create_dataset("numberOfLooks", data=np.full(size, 11.5, np.float32), chunks=True)
            mask = np.ones(size, np.uint8)
            mask[: size[0] // 10] = 255
            mask[size[0] // 2, :5] = 0
            if with_mask:
                grid.create_dataset("mask", data=mask, chunks=True, compression="gzip")
            for number, polarisation in enumerate(names):
                values = (np.abs(texture(size, number)) ** 2 * 1e-4).astype(np.float32)
                values[:, -3:] = np.nan
                values[5 * size[0] // 8, 20] = 0.0  # a zero inside is data
                layer = grid.create_dataset(polarisation * 2, data=values, chunks=(32, 32), compression="gzip")
                layer.attrs["_FillValue"] = np.float32(np.nan)
                if power is None and frequency == "frequencyA":
                    seen = np.isfinite(values)
                    if with_mask:
                        seen &= mask == 1
                    power = np.where(seen, values, 0)
            if len(names) > 1:
                grid.create_dataset(names[0] + names[1], data=np.zeros(size, np.complex64), chunks=True)

    def truth(columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = left_m + pixel_m * np.asarray(columns, float), top_m - pixel_m * np.asarray(rows, float)
        return Transformer.from_crs(epsg, 4326, always_xy=True).transform(x, y)

    return Product(path, truth, pixel_m, power)
