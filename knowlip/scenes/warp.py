"""Bilinear resampling of power with a validity mask, at source positions given on a coarse mesh."""

import numpy as np
from numba import njit

Size = tuple[int, int]
Mesh = tuple[np.ndarray, np.ndarray]


def sample(
    power: np.ndarray, valid: np.ndarray, mesh: Mesh, step: int, shape: Size, offset: Size = (0, 0)
) -> tuple[np.ndarray, np.ndarray]:
    """Resample power.

    Args:
        power: (rows, columns) float32, 0 where not valid; `valid` (rows, columns) bool.
        mesh: source columns and rows (outer-corner convention) of the target's pixel corners 0, step, 2 step, ...,
            (M, N) each.
        step: target pixels between mesh nodes.
        shape: rows and columns of the target.
        offset: target pixel (row, column) of the first result relative to the first mesh node.

    Returns:
        Power of `shape` float32, 0 where not valid, and the valid mask. A target pixel is valid where at least half of
        its weight falls on valid pixels; their weights are made to add up to 1.
    """
    out = np.zeros(shape, np.float32)
    known = np.zeros(shape, np.bool_)
    _sample(power, valid, *mesh, step, *offset, out, known)
    return out, known


@njit(nogil=True, cache=True)
def _sample(power, valid, mesh_x, mesh_y, step, row_0, column_0, out, known):  # type: ignore[no-untyped-def]
    rows, columns = out.shape
    height, width = power.shape
    # One pass with everything in registers: positions from the mesh, then the four neighbours that are valid.
    for i in range(rows):
        at = (i + row_0 + 0.5) / step
        m = min(int(at), mesh_x.shape[0] - 2)
        v = at - m
        for j in range(columns):
            at = (j + column_0 + 0.5) / step
            n = min(int(at), mesh_x.shape[1] - 2)
            u = at - n
            a, b, c, d = (1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u
            x = a * mesh_x[m, n] + b * mesh_x[m, n + 1] + c * mesh_x[m + 1, n] + d * mesh_x[m + 1, n + 1] - 0.5
            y = a * mesh_y[m, n] + b * mesh_y[m, n + 1] + c * mesh_y[m + 1, n] + d * mesh_y[m + 1, n + 1] - 0.5
            if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
                continue
            left, top = int(np.floor(x)), int(np.floor(y))
            fx, fy = x - left, y - top
            total, weight = 0.0, 0.0
            for dy in range(2):
                r = top + dy
                if r < 0 or r >= height:
                    continue
                wy = fy if dy else 1 - fy
                for dx in range(2):
                    q = left + dx
                    if q < 0 or q >= width or not valid[r, q]:
                        continue
                    w = wy * (fx if dx else 1 - fx)
                    total += w * power[r, q]
                    weight += w
            if weight >= 0.5:
                out[i, j] = total / weight
                known[i, j] = True


@njit(nogil=True, cache=True)
def multilook(power, valid, look_rows, look_columns):  # type: ignore[no-untyped-def]
    """Mean power of blocks of look_rows x look_columns pixels over their valid pixels; shapes must divide.

    Returns:
        (rows / look_rows, columns / look_columns) float32, and the mask: at least half of the block is valid.
    """
    rows, columns = power.shape[0] // look_rows, power.shape[1] // look_columns
    out = np.zeros((rows, columns), np.float32)
    known = np.zeros((rows, columns), np.bool_)
    half = look_rows * look_columns
    for i in range(rows):
        for j in range(columns):
            total, count = 0.0, 0
            for r in range(i * look_rows, (i + 1) * look_rows):
                for c in range(j * look_columns, (j + 1) * look_columns):
                    if valid[r, c]:
                        total += power[r, c]
                        count += 1
            if 2 * count >= half:
                out[i, j] = total / count
                known[i, j] = True
    return out, known
