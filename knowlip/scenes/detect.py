"""From stored numbers to power, in one pass and without holding a lock."""

import numpy as np
from numba import njit


def detect(values: np.ndarray, squared: bool) -> np.ndarray:
    """Power float32 of values of any shape: |value|^2 where they are complex or `squared`, else the value itself."""
    values = np.ascontiguousarray(values)
    power = np.empty(values.shape, np.float32)
    if values.dtype.kind == "c":
        _detect_complex(values.reshape(-1), power.reshape(-1))
    elif squared:
        _square(values.reshape(-1), power.reshape(-1))
    else:
        power[...] = values
    return power


def look_up(values: np.ndarray, table: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    """`table[values]` float32, 0 where not valid (None: all valid)."""
    values = np.ascontiguousarray(values)
    power = np.empty(values.shape, np.float32)
    if valid is None:
        _take(values.reshape(-1), table, power.reshape(-1))
    else:
        _take_valid(values.reshape(-1), table, np.ascontiguousarray(valid).reshape(-1), power.reshape(-1))
    return power


@njit(nogil=True, cache=True)
def _detect_complex(values, power):  # type: ignore[no-untyped-def]
    for i in range(values.size):
        real, imaginary = np.float32(values[i].real), np.float32(values[i].imag)
        power[i] = real * real + imaginary * imaginary


@njit(nogil=True, cache=True)
def _square(values, power):  # type: ignore[no-untyped-def]
    for i in range(values.size):
        value = np.float32(values[i])
        power[i] = value * value


@njit(nogil=True, cache=True)
def _take(values, table, power):  # type: ignore[no-untyped-def]
    for i in range(values.size):
        power[i] = table[values[i]]


@njit(nogil=True, cache=True)
def _take_valid(values, table, valid, power):  # type: ignore[no-untyped-def]
    for i in range(values.size):
        power[i] = table[values[i]] if valid[i] else np.float32(0)
