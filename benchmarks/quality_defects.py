"""Defects of SAR images, applied to power before it is quantised, each within the bounds of what sensors show."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

Defect = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _lines(shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Line numbers (rows or columns, up to 15 degrees off the grid as after projection to a map)."""
    angle = np.radians(random.uniform(-15, 15))
    y, x = np.mgrid[: shape[0], : shape[1]]
    lines = y * np.cos(angle) + x * np.sin(angle)
    lines = lines - lines.min()
    return lines if random.random() < 0.5 else np.ascontiguousarray(lines.T)


def noise(power: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Nothing but receiver noise of one to four looks: the scene's signal is missing."""
    looks = float(random.choice([1, 2, 4]))
    return random.gamma(looks, 1 / looks, power.shape).astype(np.float32)


def low_snr(power: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Signal well below the noise: only the strongest targets stand out."""
    level = np.percentile(power, 90) * random.uniform(4, 15)
    return power + (random.gamma(2.0, 0.5, power.shape) * level).astype(np.float32)


def scalloping(power: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Periodic gain errors of 4 to 9 dB along azimuth (uncorrected ScanSAR or TOPS antenna pattern)."""
    lines = _lines(power.shape, random)
    gain = random.uniform(4, 9) * np.sin(2 * np.pi * lines / random.uniform(12, 48) + random.uniform(0, 6))
    return (power * 10 ** (gain / 10)).astype(np.float32)


def interference(power: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Radio-frequency interference: bursts of bright lines, 5 to 25 % of all."""
    lines = np.floor(_lines(power.shape, random)).astype(int)
    struck = random.random(lines.max() + 1) < random.uniform(0.05, 0.25)
    strength = struck * 10 ** (random.uniform(8, 20, len(struck)) / 10) * float(np.median(power))
    return power + (strength[lines] * random.gamma(2.0, 0.5, power.shape)).astype(np.float32)


def missing_lines(power: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Lost echoes: 8 to 30 % of the lines hold next to nothing, in runs."""
    lines = np.floor(_lines(power.shape, random) / random.integers(1, 6)).astype(int)
    lost = random.random(lines.max() + 1) < random.uniform(0.08, 0.3)
    return np.where(lost[lines], power * np.float32(1e-3), power).astype(np.float32)


def defocus(power: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Wrong Doppler rate: energy smeared over tens of pixels along one axis."""
    widths = [random.uniform(8, 20), random.uniform(1.0, 3)]
    if random.random() < 0.5:
        widths.reverse()
    smeared: np.ndarray = gaussian_filter(power, widths)
    return smeared


def ambiguity(power: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Azimuth ambiguities: ghosts of the scene to both sides, 3 dB below it."""
    shift = int(len(power) * random.uniform(0.15, 0.35))
    return (power + 0.5 * (np.roll(power, shift, 0) + np.roll(power, -shift, 0))).astype(np.float32)


POWER_DEFECTS: dict[str, Defect] = {
    "noise": noise,
    "low_snr": low_snr,
    "scalloping": scalloping,
    "interference": interference,
    "missing_lines": missing_lines,
    "defocus": defocus,
    "ambiguity": ambiguity,
}


def saturation(tile: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Receiver overdriven: 15 to 45 % of the pixels at the highest level."""
    gain = 254 / max(2.0, float(np.percentile(tile, 100 * (1 - random.uniform(0.15, 0.45)))))
    return np.clip(tile * gain, 1, 255).astype(np.uint8)


def few_levels(tile: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Two-bit quantisation: three to five grey levels in all."""
    step = 255 / random.integers(3, 6)
    return np.clip(np.floor(tile / step) * step + step / 2, 1, 255).astype(np.uint8)


TILE_DEFECTS: dict[str, Defect] = {"saturation": saturation, "few_levels": few_levels}
