"""The loops over pixels, compiled: heights, shadow casting, surfaces with layover, and the focusing filter.

Rows run south; (dr, dc) is the look direction in pixels. Heights are kept in quarter metres (uint8, up to 63.75 m).
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

QUARTERS = 4
F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
Drawn = tuple[U16, U16, U8, U8]
"""(N, N) area numbers, solid numbers, heights, shadows."""
Facts = tuple[U8, F32, F32, F32, F32]
"""Cover and level of each area, level and textures of each cover, level of each roof and of each wall."""
Noise = tuple[F32, F32, F32]
"""Grids for fine, middle and coarse texture."""
Look = tuple[float, float, float, float]
"""dr, dc, tangent of the incidence, pixel spacing in metres."""


@numba.njit(cache=True, inline="always")
def _sample(noise: F32, r: float, c: float) -> float:
    """Bilinear value of a noise grid, edges repeated."""
    r = min(max(r, 0.0), noise.shape[0] - 1.001)
    c = min(max(c, 0.0), noise.shape[1] - 1.001)
    i, j = int(r), int(c)
    fr, fc = r - i, c - j
    top = noise[i, j] * (1 - fc) + noise[i, j + 1] * fc
    low = noise[i + 1, j] * (1 - fc) + noise[i + 1, j + 1] * fc
    return top * (1 - fr) + low * fr


@numba.njit(cache=True)
def heights(areas: U16, solids: U16, canopy: F32, solid: F32, crowns: F32) -> U8:
    """(N, N) height of the surface in quarter metres from area and solid numbers and their heights in metres.

    A canopy rises and falls with the noise grid `crowns`.
    """
    n, m = areas.shape
    k = (crowns.shape[0] - 3) / n
    out = np.zeros((n, m), np.uint8)
    for r in range(n):
        for c in range(m):
            s = solids[r, c]
            h = solid[s] if s > 0 else canopy[areas[r, c]]
            if s == 0 and h > 0:
                h *= min(1.1, max(0.5, 0.85 + 0.08 * _sample(crowns, r * k, c * k)))
            out[r, c] = min(255, int(h * QUARTERS + 0.5))
    return out


@numba.njit(cache=True)
def shadows(height: U8, look: Look) -> U8:
    """(N, N) height in quarter metres below which a pixel lies in shadow; cast from every edge on the far side."""
    dr, dc, tangent, res = look
    n, m = height.shape
    out = np.zeros((n, m), np.uint8)
    fall = QUARTERS * res / tangent  # quarter metres that the shadow's edge falls per pixel
    for r in range(n):
        for c in range(m):
            h = height[r, c]
            if h == 0:
                continue
            rn, cn = math.floor(r + dr + 0.5), math.floor(c + dc + 0.5)
            if rn < 0 or cn < 0 or rn >= n or cn >= m or height[rn, cn] >= h:
                continue
            reach = h / fall
            for side in (-0.3, 0.3):
                t = 0.5
                while t <= reach:
                    rr = math.floor(r + dr * t + dc * side + 0.5)
                    cc = math.floor(c + dc * t - dr * side + 0.5)
                    if rr < 0 or cc < 0 or rr >= n or cc >= m:
                        break
                    edge = h - t * fall
                    if edge <= height[rr, cc] and t > 1.5:  # the ray ends on something that casts its own shadow
                        break
                    if edge > out[rr, cc] and not (rr == r and cc == c):
                        out[rr, cc] = np.uint8(math.ceil(edge))
                    t += 0.5
    return out


@numba.njit(cache=True, inline="always")
def _hash(a: int, b: int, c: int) -> float:
    """A number in (0, 1) that looks random."""
    x = (a * 73856093) ^ (b * 19349663) ^ (c * 83492791)
    x = ((x >> 13) ^ x) * 1274126177 & 0x7FFFFFFF
    return ((x >> 8) & 0xFFFF) / 65536.0 + 7.6e-6


@numba.njit(cache=True, inline="always")
def _splat(power: F32, r: float, c: float, value: float) -> None:
    """Share a value among the four pixels around a point."""
    i, j = math.floor(r), math.floor(c)
    if 0 <= i < power.shape[0] - 1 and 0 <= j < power.shape[1] - 1:
        fr, fc = r - i, c - j
        power[i, j] += value * (1 - fr) * (1 - fc)
        power[i, j + 1] += value * (1 - fr) * fc
        power[i + 1, j] += value * fr * (1 - fc)
        power[i + 1, j + 1] += value * fr * fc


@numba.njit(cache=True)
def surfaces(drawn: Drawn, facts: Facts, noise: Noise, waves: F32, look: Look, water: int, wood: int) -> F32:
    """(N, N) mean power of ground, roofs and walls, each where the radar puts it; 0 in full shadow.

    `waves`: (2, 2) wave numbers of the sea; `water`, `wood`: codes of these covers.
    """
    areas, solids, height, shadow = drawn
    covers, level, table, roof, wall = facts
    fine, middle, coarse = noise
    dr, dc, tangent, res = look
    n, m = areas.shape
    power = np.zeros((n, m), np.float32)
    kf, km, kc = (fine.shape[0] - 3) / n, (middle.shape[0] - 3) / n, (coarse.shape[0] - 3) / n
    ahead = 3.5 / res
    per_db = math.log(10.0) / 10.0
    stride = 0.6  # pixels between the samples of a wall
    rise = stride * res * tangent
    for r in range(n):
        for c in range(m):
            h = height[r, c]
            z = h / QUARTERS
            area, s = areas[r, c], solids[r, c]
            code = covers[area]
            if h > 0:  # the wall below this pixel, if its neighbour towards the radar is lower
                rp, cp = math.floor(r - dr + 0.5), math.floor(c - dc + 0.5)
                if 0 <= rp < n and 0 <= cp < m and height[rp, cp] < h:
                    low = height[rp, cp] / QUARTERS
                    db = wall[s] if s > 0 else table[wood, 0] + 1.0
                    face = stride * math.exp(per_db * db)
                    grain, pane = 3.0, 1.3
                    zz = max(low, (shadow[rp, cp]) / QUARTERS)
                    while zz < z:
                        k = zz / tangent / res
                        rr, cc = math.floor(r - dr * k + 0.5), math.floor(c - dc * k + 0.5)
                        if 0 <= rr < n and 0 <= cc < m:
                            # storeys and windows: cells of 3 m by 1.3 m return very different powers
                            u = _hash(int(zz / grain), int(r * res / pane), int(c * res / pane))
                            power[rr, cc] += face * (0.3 - 0.7 * math.log(u))
                        zz += rise
            if shadow[r, c] > h:
                continue
            if s > 0:
                db = roof[s] + 1.0 * _sample(fine, r * kf, c * kf)
            else:
                db = table[code, 0] + level[area]
                db += table[code, 1] * _sample(fine, r * kf, c * kf)
                bump = _sample(middle, r * km, c * km)
                db += table[code, 2] * bump
                db += table[code, 3] * _sample(coarse, r * kc, c * kc)
                if code == wood:  # crowns: the side towards the radar is lit
                    db += 2.5 * (_sample(middle, (r + dr * ahead) * km, (c + dc * ahead) * km) - bump)
                elif code == water:
                    y, x = r * res, c * res
                    wobble = 1.5 * _sample(coarse, r * kc, c * kc)
                    db += 0.45 * math.sin(waves[0, 0] * x + waves[0, 1] * y + wobble)
                    db += 0.35 * math.sin(waves[1, 0] * x + waves[1, 1] * y - wobble)
            value = math.exp(per_db * db)
            if h == 0:
                power[r, c] += value
            else:
                k = z / tangent / res
                _splat(power, r - dr * k, c - dc * k, value)
    return power


@numba.njit(cache=True)
def deposit(
    field: NDArray[np.complex64], rows: NDArray[np.float64], cols: NDArray[np.float64], values: NDArray[np.complex64]
) -> None:
    """Add values at the nearest pixels of (rows, cols); points outside are dropped."""
    for i in range(len(values)):
        r, c = math.floor(rows[i] + 0.5), math.floor(cols[i] + 0.5)
        if 0 <= r < field.shape[0] and 0 <= c < field.shape[1]:
            field[r, c] += values[i]


@numba.njit(cache=True)
def weight(spectrum: NDArray[np.complex64], dr: float, dc: float, band: float, taper: float) -> None:
    """Limit a spectrum in place to a band (cycles per pixel, full width) along range and azimuth, with a raised cosine.

    Scaled so that a unit impulse keeps a peak of 1.
    """
    n, m = spectrum.shape
    gain = 1.0 / (band * taper) ** 2
    for r in range(n):
        fr = (r if r < (n + 1) // 2 else r - n) / n
        for c in range(m):
            fc = (c if c < (m + 1) // 2 else c - m) / m
            p, q = fr * dr + fc * dc, fr * dc - fc * dr
            if abs(p) > band / 2 or abs(q) > band / 2:
                spectrum[r, c] = 0
            else:
                wp = taper + (1 - taper) * math.cos(2 * math.pi * p / band)
                wq = taper + (1 - taper) * math.cos(2 * math.pi * q / band)
                spectrum[r, c] *= np.float32(gain * wp * wq)
