"""The three simulated sensors."""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Sensor:
    """What sets one radar's images apart; metres and degrees."""

    name: str
    band: Literal["Ku", "C", "X"]
    resolution_m: float  # Pixel spacing of the map-projected product.
    looks: float
    dtype: Literal["uint16", "float32"]
    amplitude_scale: float  # Stored value = amplitude * scale (amplitude squared is sigma0).
    scene_size_m: float  # Default side of a scene.
    cover_factor: int  # Side of a land-cover pixel in image pixels.
    vegetation_db: float  # How much brighter vegetation is than in C band.


SENSORS: Final[dict[str, Sensor]] = {
    sensor.name: sensor
    for sensor in (
        Sensor("sim-ku", "Ku", 0.2, 2.0, "uint16", 1000.0, 1024.0, 5, 2.0),
        Sensor("sim-c", "C", 1.0, 3.0, "float32", 1.0, 2048.0, 1, 0.0),
        Sensor("sim-x", "X", 3.0, 4.0, "uint16", 2000.0, 3072.0, 1, 1.0),
    )
}

NOISE_FLOOR_DB: Final = -26.5
"""Noise-equivalent sigma0 of all three."""

IMPULSE_WIDTH: Final = 1.3
"""Impulse response width (range and azimuth) in pixels."""

TAPER: Final = 0.72
"""Spectral weighting a + (1 - a) cos: 1 is a plain sinc with -13 dB side lobes, 0.54 is Hamming with -42 dB."""
