"""A data set of one scene: 1 large tile, 4 medium, 16 small, of speckle with a dark part, by the real writer."""

from pathlib import Path
from typing import Any

import numpy as np
import shapely

from knowlip.dataset import writer
from knowlip.dataset.png import encode_png

SIDE = 96


def build_tiny_dataset(folder: Path, small: int = 4) -> Path:
    """Write the data set to `folder`, with so many small tiles in a medium one; the same bytes every time."""
    rng = np.random.default_rng(7)
    rows: list[dict[str, Any]] = []
    pngs: dict[str, bytes] = {}

    def add(tile_id: str, scale: str, window_m: float, parent: str) -> None:
        number = len(rows)
        lon, lat = 4.0 + 0.01 * number, 52.0
        image = rng.gamma(3.0, 30.0, (SIDE, SIDE))
        image[:, : SIDE * (number % 3) // 3] *= 0.1
        pngs[tile_id] = encode_png(np.clip(image, 1, 255).astype(np.uint8))
        rows.append(
            {
                "tile_id": tile_id,
                "id": tile_id,
                "scene_id": "scene",
                "root_id": "l0",
                "parent_id": parent,
                "scale": scale,
                "window_m": window_m,
                "split": "train",
                "block": "b0",
                "datetime": "2025-06-01T00:00:00Z",
                "geometry": shapely.box(lon, lat, lon + 0.001, lat + 0.001).wkb_hex,
                "proj:code": "EPSG:32631",
                "proj:transform": [window_m / SIDE, 0.0, 0.0, 0.0, -window_m / SIDE, 0.0],
                "proj:shape": [SIDE, SIDE],
                "platform": "sim-c",
                "sar:frequency_band": "C",
                "sar:polarizations": ["HH"],
                "sar:looks_equivalent_number": 3.0,
                "view:incidence_angle": 35.0,
                "look_azimuth_deg": None,
                "view:azimuth": None,
                "sar:center_frequency": None,
                "sar:instrument_mode": "",
                "sar:product_type": "",
                "sar:observation_direction": "",
                "sat:orbit_state": "",
                "units": "amplitude",
                "radiometry": "simulated",
                "quantity": "none",
                "geolocation": "affine",
                "geolocation_rms_m": 0.0,
                "native_px": 256.0,
                "resolution_m": 1.0,
                "metres_per_pixel": window_m / SIDE,
                "lon": lon,
                "lat": lat,
                "country": "Netherlands",
                "region": "South Holland",
                "city": "Delft",
                "city_km": 4.0,
                "airport": "Rotterdam Airport",
                "airport_km": 9.0,
                "port": "Rotterdam",
                "port_km": 12.0,
                "quantiser": "log",
                "quantiser_lo": -20.0,
                "quantiser_hi": 10.0,
                "lut_sha256": "",
                "screen_score": None,
                "cog": "",
                "valid_fraction": 1.0,
                "q_mean": 0.0,
                "q_std": 0.0,
                "q_entropy": 0.0,
                "q_edge": 0.0,
                "q_saturated": 0.0,
                "q_dark": 0.0,
                "q_stripe": 0.0,
                "g_contrast": 0.0,
                "g_dissimilarity": 0.0,
                "g_homogeneity": 0.0,
                "g_energy": 0.0,
                "g_correlation": 0.0,
                "g_entropy": 0.0,
                "q_good": 1.0,
                "accepted": True,
                "reject_reason": "",
            }
        )

    add("l0", "large", 1024.0, "")
    for m in range(4):
        add(f"l0-m{m}", "medium", 512.0, "l0")
        for s in range(small):
            add(f"l0-m{m}-s{s}", "small", 256.0, f"l0-m{m}")
    writer.write_scene(folder, "scene", rows, pngs, {}, {})
    writer.finish(folder, ["scene"], {})
    return folder
