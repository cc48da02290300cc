"""OpenSARShip archives in their several layouts, cut from a made Sentinel-1 product whose geometry is a closed form."""

import math
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from tests.scenes.products import Product
from tests.scenes.swath import ground

PRODUCT = "S1A_IW_{kind}_1S{double}V_20160131T204259_20160131T204324_009743_00E3C6_E792"
BETA = 474.0
NODE = 130.0
"""Far enough east that seven digits of a longitude are 1e-4 degrees, as in the published archives."""
SHIP = """\t<ship>\n\t\t<SARShipInformation>
\t\t\t<UpperLeft_x>{right}</UpperLeft_x>\n\t\t\t<UpperLeft_y>{bottom}</UpperLeft_y>
\t\t\t<LowerRight_x>{left}</LowerRight_x>\n\t\t\t<LowerRight_y>{top}</LowerRight_y>
\t\t\t<Center_x>{x}</Center_x>\n\t\t\t<Center_y>{y}</Center_y>
\t\t\t<Center_longitude>{lon:.6e}</Center_longitude>\n\t\t\t<Center_latitude>{lat:.6e}</Center_latitude>
\t\t\t<Head_x>{head[0]}</Head_x>\n\t\t\t<Head_y>{head[1]}</Head_y>
\t\t\t<Tail_x>{tail[0]}</Tail_x>\n\t\t\t<Tail_y>{tail[1]}</Tail_y>
\t\t\t<Incidence>{incidence:.6f}</Incidence>\n\t\t</SARShipInformation>
\t\t<AISShipInformation>\n\t\t\t<Name>H?EGH <&> CO</Name>\n\t\t\t<True_Head>{about[0]}</True_Head>
\t\t\t<Length>{about[1]}</Length>\n\t\t\t<Width>{about[2]}</Width>\n\t\t</AISShipInformation>
\t\t<MarineTrafficInformation>\n\t\t\t<Breadth_extreme>{about[3]}</Breadth_extreme>
\t\t\t<Elaborated_type>{about[4]}</Elaborated_type>\n\t\t</MarineTrafficInformation>\n\t</ship>
"""
ABOUT = [
    (33.0, 150, 20, "NA", "Bulk Carrier"),
    (511.0, 0, 0, 18.5, "NA"),
    (90.0, 120, 0, "NA", "Vehicles Carrier"),
    (90.0, 120, 300, "NaN", "Tug"),
    (359.5, 180, 30, 31.0, "Oil/Chemical Tanker"),
]
"""True heading, length, width, breadth and type of the ships, in turn."""


def make(
    folder: Path,
    ships: int = 24,
    size: int = 33,
    top: bool = False,
    double: bool = False,
    separate: bool = False,
    slc: bool = False,
    calibrated: bool = True,
    unpacked: bool = False,
    wrong_ship_m: float = 0.0,
) -> Product:
    """An archive; truth and power are those of the first chip (VV where there are two).

    Args:
        folder: where to write.
        ships: number of chips.
        size: side of a chip, odd.
        top: all members lie in a folder of the product's name.
        double: two polarisations, VH and VV, as two bands.
        separate: two polarisations as two files a chip.
        slc: chips of two bands, real and imaginary part.
        calibrated: with Patch_Cal.
        unpacked: a folder in place of an archive.
        wrong_ship_m: how far a third of the ships are displaced.
    """
    rng = np.random.default_rng(7)
    name = PRODUCT.format(kind="SLC_" if slc else "GRDH", double="D" if double or separate else "S")
    xs, ys = rng.integers(2000, 22000, ships), rng.integers(2000, 14000, ships)
    members: dict[str, bytes] = {}
    blocks, chips = [], {}
    for number, (x, y) in enumerate(zip(xs, ys)):
        stem, half = f"Cargo_x{x}_y{y}", size // 2
        lon, lat = ground(x + 0.5, y + 0.5, node_deg=NODE)
        incidence = 30 + 15 * x / 25000
        wrong = wrong_ship_m / 111_000 if number % 3 == 0 else 0.0
        blocks.append(
            SHIP.format(
                x=x,
                head=(x + 3, y - 6),
                tail=(x - 3, y + 6) if number != 5 else (x + 3, y - 6),
                about=ABOUT[number % len(ABOUT)],
                y=y,
                left=x - half,
                right=x + half,
                top=y - half,
                bottom=y + half,
                lon=float(lon),
                lat=float(lat) + wrong,
                incidence=incidence,
            )
        )
        shape = (4 if double or separate else 2, size, size)
        parts = np.round(rng.normal(0, 150, shape)).astype(np.float32)
        amplitude = np.round(np.hypot(parts[::2], parts[1::2])).astype(np.float32) + 1
        stored = parts if slc else amplitude
        power = (np.square(parts[::2]) + np.square(parts[1::2])) if slc else np.square(amplitude)
        sigma = (power / BETA**2 * math.sin(math.radians(incidence))).astype(np.float32)
        chips[stem] = (x, y, sigma)
        for kind, bands in (("Patch", stored), *((("Patch_Cal", sigma),) if calibrated else ())):
            if separate:
                members |= {f"{kind}/{stem}_{p}.tif": _tiff(bands[i : i + 1]) for i, p in enumerate(("vh", "vv"))}
            else:
                members[f"{kind}/{stem}.tif"] = _tiff(bands)
        members[f"Patch_Uint8/Visual_{stem}.tif"] = _tiff(np.zeros((1, size, size), np.uint8))
    # As in the published archives, the last line closes no tag, and names hold bare ampersands.
    members["Ship.xml"] = ('<?xml version="1.0"?>\n<ShipList>\n' + "".join(blocks) + "<\\ShipList>").encode("latin-1")
    members["Metedata.xml"] = _metadata(slc, double or separate)
    place = _write(folder, name, members, top, unpacked)
    x, y, sigma = chips[min(chips)]
    left, upper = x - size // 2, y - size // 2
    return Product(place, lambda columns, rows: ground(columns + left, rows + upper, node_deg=NODE), 10.0, sigma[-1])


def _write(folder: Path, name: str, members: dict[str, bytes], top: bool, unpacked: bool) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if unpacked:
        for member, content in members.items():
            (folder / name / member).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / member).write_bytes(content)
        return folder / name
    with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(f"{name}/{member}" if top else member, content)
    return folder / f"{name}.zip"


def _tiff(bands: np.ndarray) -> bytes:
    with rasterio.MemoryFile() as memory:
        options: dict[str, Any] = {"driver": "GTiff", "dtype": bands.dtype, "count": bands.shape[0]}
        with (
            warnings.catch_warnings(action="ignore"),
            memory.open(height=bands.shape[1], width=bands.shape[2], **options) as file,
        ):
            file.write(bands)
        return bytes(memory.read())


def _metadata(slc: bool, double: bool) -> bytes:
    values = {
        "PRODUCT_TYPE": "SLC" if slc else "GRD",
        "ACQUISITION_MODE": "IW",
        "antenna_pointing": "right",
        "PASS": "ASCENDING",
        "mds1_tx_rx_polar": "VH" if double else "VV",
        "mds2_tx_rx_polar": "VV" if double else "-",
        "range_spacing": 10.0,
        "azimuth_spacing": 10.0,
        "num_output_lines": 17000,
        "num_samples_per_line": 25000,
    }
    for corner, column, row in (("first_near", 0, 0), ("first_far", 25000, 0), ("last_near", 0, 17000)):
        lon, lat = ground(column, row, node_deg=NODE)
        values |= {f"{corner}_long": float(lon), f"{corner}_lat": float(lat)}
    lines = "".join(f'<attrib name="{key}" value="{value}" type="41" />\n' for key, value in values.items())
    return f"<Metadata><Abstracted_Metadata>\n{lines}</Abstracted_Metadata></Metadata>".encode()
