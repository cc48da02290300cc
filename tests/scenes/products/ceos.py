"""ALOS and ALOS-2 products in CEOS format: level 1.5 on a map or along the flight path, level 1.1 by a circular orbit.

Fields stand where JAXA's format descriptions have them; those that neither this package nor public readers need are
blank.
"""

import struct
from pathlib import Path

import numpy as np
from pyproj import Transformer

from tests.scenes.products.orbits import Circle

LON, LAT, SHAPE = 139.7, 35.3, (90, 120)
LINE_S, RATE_HZ, WAVELENGTH = 5e-4, 34.9305319e6, 0.2424525
SPACING = 299_792_458.0 / 2 / RATE_HZ
UTM = 32654
DAY, SECOND = "20140909", 16422.0  # 04:33:42
MAPPED, ALONG = "GEOCODED", "GEOREFERENCE"


class Fields:
    """A record of `length` bytes, blank, whose fields are set by place."""

    def __init__(self, number: int, kind: tuple[int, int, int, int], length: int, fill: bytes = b" "):
        self.data = bytearray(fill * length)
        self.data[:12] = struct.pack(">IBBBBI", number, *kind, length)

    def put(self, at: int, width: int, value: object) -> "Fields":
        text = value if isinstance(value, str) else repr(value)
        self.data[at : at + width] = (text.ljust(width) if isinstance(value, str) else text.rjust(width)).encode()[
            :width
        ]
        return self

    def numbers(self, at: int, width: int, values: object, form: str = "16.7f") -> "Fields":
        for k, value in enumerate(np.ravel(values)):
            self.put(at + k * width, width, format(float(value), form))
        return self


def amplitudes(seed: int = 0, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).rayleigh(3000, shape).astype(np.uint16) + 1


def signals(seed: int = 0, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.normal(0, 9e3, shape) + 1j * random.normal(0, 9e3, shape)).astype(np.complex64)


def image(path: Path, pixels: np.ndarray, places: np.ndarray | None, first_s: float, near_m: float, alos2: bool):
    """An IMG file; `places` (rows, 6): latitude of the first, middle and last pixel of each line, then longitude."""
    rows, columns = pixels.shape
    slant = pixels.dtype.kind == "c"
    prefix, size = (544 if alos2 else 412) if slant else 192, 8 if slant else 2
    length = prefix + columns * size
    head = Fields(1, (50, 192, 18, 18), 720).put(12, 2, "A ").put(16, 12, "CEOS-SAR").put(28, 2, " A").put(30, 2, " A")
    head.put(44, 4, 1).put(48, 16, f"AL{2 if alos2 else 1} SAR{'B' if slant else 'C'}IMOP")
    head.put(64, 4, "FSEQ").put(68, 8, 1).put(76, 4, 4).put(80, 4, "FTYP").put(84, 8, 5).put(92, 4, 4)
    head.put(96, 4, "FLGT").put(100, 8, 9).put(108, 4, 4)
    head.put(180, 6, rows).put(186, 6, length).put(216, 4, 32 if slant else 16).put(220, 4, 2 if slant else 1)
    head.put(224, 4, size).put(232, 4, 1).put(236, 8, rows).put(244, 4, 0).put(248, 8, columns).put(256, 4, 0)
    head.put(260, 4, 0).put(264, 4, 0).put(268, 4, "BSQ").put(272, 2, 1).put(274, 2, 1).put(276, 4, prefix)
    head.put(280, 8, columns * size).put(288, 4, 0)
    head.put(400, 28, "COMPLEX*8" if slant else "UNSIGNED INTEGER*2").put(428, 4, "C*8" if slant else "IU2")
    with path.open("wb") as stream:
        stream.write(head.data)
        for row in range(rows):
            seconds = SECOND + first_s + row * LINE_S if slant else SECOND
            kind = (50, 10, 18, 20) if slant else (50, 11, 18, 20)
            line = Fields(row + 2, kind, prefix, b"\0")
            line.data[8:12] = struct.pack(">I", length)
            line.data[12:32] = struct.pack(">5i", row + 1, 1, 0, columns, 0)
            line.data[32:48] = struct.pack(">4i", 1, 2014, 252, int(seconds * 1000 + 1e-6))
            line.data[48:56] = struct.pack(">4h", 1, 0, int("-V" in path.name), int("V-" in path.name))
            line.data[56:60] = struct.pack(">i", round(1e3 / LINE_S))
            if slant:
                line.data[84:92] = struct.pack(">Q", round(seconds * 1e6) if alos2 else 0)
                line.data[116:120] = struct.pack(">i", round(near_m))
            if places is not None:
                at = 192 if slant else 132
                line.data[at : at + 24] = struct.pack(">6i", *np.round(places[row] * 1e6).astype(int))
            stream.write(line.data)
            stream.write(pixels[row].astype(">c8" if slant else ">u2").tobytes())


def polynomials(pixel: np.ndarray, line: np.ndarray, values: np.ndarray, origin: tuple[float, float]) -> np.ndarray:
    """(25,) terms of the fourth degree through values, powers falling, of the pixel outside and of the line inside."""
    scale = max(np.abs(pixel - origin[0]).max(), 1), max(np.abs(line - origin[1]).max(), 1)
    p, n = (pixel - origin[0]) / scale[0], (line - origin[1]) / scale[1]
    powers = [(i, j) for i in range(4, -1, -1) for j in range(4, -1, -1)]
    found = np.linalg.lstsq(np.stack([p**i * n**j for i, j in powers], -1), values, rcond=None)[0]
    return np.array([term / scale[0] ** i / scale[1] ** j for term, (i, j) in zip(found, powers)])


def leader(path: Path, **about: object) -> None:
    """A LED file. Keys: `alos2`, `slant`, `side`, `shape`, `factor_db`, `vectors` (N, 6) each second from -20 s on,
    `map` (projection, E and N of the corner centres in metres), `corners` (4, 2) latitudes and longitudes,
    `terms` (2, 25) and `origin` of the polynomials, `frame` of the vectors."""
    shape = about["shape"]
    mission = "ALOS2" if about["alos2"] else "ALOS"
    head = Fields(1, (11, 192, 18, 18), 720).put(12, 2, "A ").put(16, 12, "CEOS-SAR").put(44, 4, 1)
    head.put(48, 16, f"AL{2 if about['alos2'] else 1} SARLSAR").put(64, 4, "FSEQ").put(68, 8, 1).put(76, 4, 4)
    head.put(80, 4, "FTYP").put(84, 8, 5).put(92, 4, 4).put(96, 4, "FLGT").put(100, 8, 9).put(108, 4, 4)
    mapped = about.get("map") or about.get("corners") is not None
    lengths = [(1, 4096), (int(bool(mapped)), 1620), (1, 4680), (1, 16384), (1, 9860)]
    lengths += [(0, 0), (1, 1620)] + [(0, 0)] * 8
    for k, (count, length) in enumerate(lengths):
        head.put(180 + 12 * k, 6, count).put(186 + 12 * k, 6, length)
    for k in range(5):
        head.put(420 + 14 * k, 6, 1).put(426 + 14 * k, 8, 5000)
    records = [head]
    side = {"right": 90.0, "left": -90.0}[str(about["side"])]
    summary = Fields(2, (18, 10, 18, 20), 4096).put(12, 4, 1).put(68, 32, f"{DAY}043342500")
    summary.put(20, 32, "-".join(path.name.split("-")[1:-1])).numbers(116, 16, [LAT, LON, 345.0]).put(164, 16, "GRS80")
    summary.numbers(180, 16, [6378.137, 6356.7523141, 5.974, 3.986005, 0.108, 0.0, 0.0])
    summary.put(324, 8, shape[0] // 2).put(332, 8, shape[1] // 2).numbers(340, 16, [10.0, 10.0])
    summary.put(388, 4, 1).put(396, 16, mission).put(412, 32, f"{mission.ljust(6)}-L -0315-").put(444, 8, 1597)
    summary.numbers(452, 8, [LAT, LON, 345.0, side, 37.25], "8.3f").numbers(500, 16, [WAVELENGTH])
    summary.put(518, 16, "LINEAR FM CHIRP").numbers(534, 16, [0, 8e11, 0, 0, 0, 0, 0, 0, 0, 0], "16.7E")
    summary.put(694, 8, 0).numbers(710, 16, [RATE_HZ / 1e6, 95.0, 30.0]).put(758, 4, "YES").put(762, 4, "YES")
    summary.numbers(766, 16, [86.4, 86.3]).put(798, 8, "8").put(806, 12, "UNIFORM I,Q")
    summary.numbers(818, 16, [0, 0, 0]).numbers(898, 16, [0, 0]).put(930, 4, "OFF").numbers(934, 16, [1e3 / LINE_S])
    summary.numbers(950, 16, [4.96, 1.27]).put(1046, 16, "EICS").put(1062, 8, "EICS").put(1070, 8, "002.012")
    summary.put(1094, 16, "1.1" if about["slant"] else "1.5").numbers(1174, 16, [1.0 if about["slant"] else 2.0, 1.0])
    summary.numbers(1206, 16, [1355, 24900, 1355, 24900.0]).put(1270, 32, "1").put(1302, 32, "1")
    summary.numbers(1414, 16, [0, 0, 0]).numbers(1478, 16, [0, 0, 0]).put(1534, 8, "ASCEND")
    summary.numbers(1542, 16, [0, 0, 0]).numbers(1606, 16, [-600, 0, 0]).put(1678, 4, "YES").put(1682, 4, "NO")
    summary.numbers(1686, 16, [LINE_S * 6800 if about["slant"] else 6.25, SPACING if about["slant"] else 6.25])
    summary.numbers(1734, 16, [0, 0]).numbers(1814, 16, [0.0]).numbers(1838, 16, [30.0]).put(1854, 4, 1)
    summary.numbers(1886, 20, [0] * 6, "20.13E").put(2006, 8, 0)
    records.append(summary)
    if mapped:
        kind, corners_m = about.get("map") or (ALONG, None)
        chart = Fields(3, (18, 20, 18, 20), 1620).put(28, 32, kind).put(60, 16, shape[1]).put(76, 16, shape[0])
        if corners_m is not None:
            (w, n), (e, _), (_, s) = corners_m[0], corners_m[1], corners_m[2]
            steps = [(e - w) / (shape[1] - 1), (n - s) / (shape[0] - 1)]
            chart.numbers(92, 16, steps).put(412, 32, "UTM-PROJECTION").put(476, 4, UTM % 100)
            chart.numbers(480, 16, [500000, 0]).numbers(944, 16, np.asarray(corners_m)[:, ::-1] / 1000)
        if about.get("corners") is not None:
            chart.numbers(1072, 16, about["corners"])
        records.append(chart)
    track = Fields(4, (18, 30, 18, 20), 4680).put(12, 32, "2").numbers(44, 16, [0] * 6)
    vectors = about.get("vectors")
    track.put(140, 4, 0 if vectors is None else len(vectors)).put(144, 4, 2014).put(148, 4, 9).put(152, 4, 9)
    track.put(156, 4, 252).numbers(160, 22, [SECOND - 20, 1.0], "22.15E").put(204, 64, str(about.get("frame", "ECR")))
    track.put(268, 22, "").numbers(290, 16, [100, 100, 100, 0.3, 0.3, 0.3])
    if vectors is not None:
        track.numbers(386, 22, vectors, "22.15E")
    attitude = Fields(5, (18, 40, 18, 20), 16384).put(12, 4, 0)
    factor = Fields(6, (18, 50, 18, 20), 9860).put(12, 4, 1).put(16, 4, 1)
    if about.get("factor_db", -83.0) is not None:
        factor.numbers(20, 16, [about.get("factor_db", -83.0)])
    factor.numbers(36, 16, [1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0])
    quality = Fields(7, (18, 60, 18, 20), 1620).put(12, 4, 1).put(26, 4, 1).numbers(142, 16, [5.3, 9.4])
    records += [track, attitude, factor, quality]
    for number in range(1, 6):
        extra = Fields(7 + number, (18, 200, 18, 70), 5000).put(12, 4, number)
        if number == 5 and about.get("terms") is not None:
            extra.numbers(1024, 20, about["terms"], "20.10E").numbers(2024, 20, about["origin"], "20.10E")
        records.append(extra)
    path.write_bytes(b"".join(bytes(record.data) for record in records))


def beside(folder: Path, scene: str, alos2: bool) -> None:
    """VOL and TRL files, as empty as public readers allow."""
    volume = Fields(1, (192, 192, 18, 18), 360).put(16, 12, "CEOS-SAR").put(60, 16, f"AL{2 if alos2 else 1}SAR")
    volume.put(112, 16, "2015032008095250").put(160, 4, 0).put(164, 4, 1)
    text = Fields(6, (18, 192, 18, 18), 360).put(16, 40, f"PRODUCT:{scene[-10:]}").put(156, 40, scene)
    (folder / f"VOL-{scene}").write_bytes(bytes(volume.data) + bytes(text.data))
    trailer = Fields(1, (63, 192, 18, 18), 720).put(44, 4, 1).put(48, 16, f"AL{2 if alos2 else 1} SARTRAI")
    for at in [*range(180, 360, 6), *(420 + 14 * k for k in range(5)), 490]:
        trailer.put(at, 6, 0)
    for k in range(5):
        trailer.put(426 + 14 * k, 8, 0)
    (folder / f"TRL-{scene}").write_bytes(bytes(trailer.data))


def map_truth(columns: np.ndarray, rows: np.ndarray, spacing: float = 6.25) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude of pixels (outer-corner convention) of the geocoded product."""
    east, north = 380_000 + spacing * np.asarray(columns), 3_907_000 - spacing * np.asarray(rows)
    lons, lats = Transformer.from_crs(UTM, 4326, always_xy=True).transform(east, north)
    return np.asarray(lons), np.asarray(lats)


def along_truth(columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of the product along the flight path: a grid that is turned, and bent by a metre."""
    c, r = (np.asarray(one, float) - size / 2 for one, size in zip((columns, rows), SHAPE[::-1]))
    east = 380_000 + 6.25 * (0.97 * c + 0.25 * r) + 1e-4 * c * r
    north = 3_907_000 - 6.25 * (-0.25 * c + 0.97 * r) + 1e-4 * c**2
    lons, lats = Transformer.from_crs(UTM, 4326, always_xy=True).transform(east, north)
    return np.asarray(lons), np.asarray(lats)


def make_15(folder: Path, kind: str = MAPPED, poles: tuple[str, ...] = ("HH", "HV"), alos2: bool = True, **changes):
    """A detected product and its truth; `changes` go to the leader, `line_places=False` leaves out the lines' own."""
    scene = "ALOS2015976960-140909-FBDR1.5GUA" if alos2 else "ALPSRP066490900-H1.5GUA"
    truth = map_truth if kind == MAPPED else along_truth
    rows, columns = (part.ravel() for part in np.meshgrid(*(np.linspace(0, n - 1, 9) for n in SHAPE), indexing="ij"))
    lons, lats = truth(columns + 0.5, rows + 0.5)
    origin = SHAPE[1] / 2, SHAPE[0] / 2
    terms = [polynomials(columns, rows, values, origin) for values in (lats, lons)]
    across, down = np.array([0, SHAPE[1] - 1, SHAPE[1] - 1, 0]), np.array([0, 0, SHAPE[0] - 1, SHAPE[0] - 1])
    corners = np.column_stack(truth(across + 0.5, down + 0.5)[::-1])
    chart = np.column_stack([380_000 + 6.25 * (across + 0.5), 3_907_000 - 6.25 * (down + 0.5)])
    about = {"map": (kind, chart if kind == MAPPED else None), "corners": corners, "terms": terms, "origin": origin}
    about |= {"alos2": alos2, "slant": False, "side": "right", "shape": SHAPE}
    with_lines = changes.pop("line_places", True)
    leader(folder / f"LED-{scene}", **(about | changes))
    middle = np.array([0, (SHAPE[1] - 1) // 2, SHAPE[1] - 1]) + 0.5
    grid = np.meshgrid(middle, np.arange(SHAPE[0]) + 0.5)
    places = np.concatenate(truth(*grid)[::-1], axis=1) if with_lines else None
    for seed, pole in enumerate(poles):
        image(folder / f"IMG-{pole}-{scene}", amplitudes(seed), places, 0.0, 0.0, alos2)
    beside(folder, scene, alos2)
    return folder / f"IMG-{poles[0]}-{scene}", truth


def make_11(folder: Path, side: str = "right", alos2: bool = True, line_places: bool = True, **changes):
    """A complex product of a circular orbit, its truth at a height, and the orbit."""
    letter = side[0].upper()
    scene = f"ALOS2015976960-140909-HBQ{letter}1.1__A" if alos2 else "ALPSRP066490900-P1.1__A"
    circle = Circle(LON, LAT, side=side)
    time = 0.0
    for _ in range(12):
        time += circle.range_and_rate(time, LON, LAT, 0.0)[1] / 97.0
    # Stamps of ALOS are whole milliseconds, ranges whole metres: the product begins with such.
    first = round(time - SHAPE[0] / 2 * LINE_S, 3)
    near = float(round(circle.range_and_rate(time, LON, LAT, 0.0)[0] - SHAPE[1] / 2 * SPACING))

    def truth(columns, rows, height=0.0):
        return circle.truth(first, LINE_S, near, SPACING, height, (LON, LAT))(columns, rows)

    rows, columns = (part.ravel() for part in np.meshgrid(*(np.linspace(0, n - 1, 6) for n in SHAPE), indexing="ij"))
    lons, lats = truth(columns + 0.5, rows + 0.5)
    origin = SHAPE[1] / 2, SHAPE[0] / 2
    terms = [polynomials(columns, rows, values, origin) for values in (lats, lons)]
    vectors = np.array([np.concatenate(circle.at(second)) for second in np.arange(-20.0, 8.0)])
    about = {"terms": terms, "origin": origin, "vectors": vectors, "alos2": alos2, "slant": True, "side": side}
    leader(folder / f"LED-{scene}", **(about | {"shape": SHAPE} | changes))
    middle = np.array([0, (SHAPE[1] - 1) // 2, SHAPE[1] - 1]) + 0.5
    ends = np.array([0, SHAPE[0] - 1])
    at_ends = np.concatenate(truth(*np.meshgrid(middle, ends + 0.5))[::-1], axis=1)
    share = np.linspace(0, 1, SHAPE[0])[:, None]
    places = at_ends[0] * (1 - share) + at_ends[1] * share if line_places and alos2 else None
    image(folder / f"IMG-HH-{scene}", signals(), places, first, near, alos2)
    beside(folder, scene, alos2)
    return folder / f"IMG-HH-{scene}", truth, circle
