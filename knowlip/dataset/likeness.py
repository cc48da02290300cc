"""How alike two images are: a difference hash to find candidates, thumbnails to decide."""

from collections.abc import Iterator

import numpy as np

HASH_SIDE, THUMB_SIDE = 8, 32
_ROWS_AT_ONCE = 512


def means(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Block means (rows, columns) float64 of an image (H, W); averaging takes the speckle away."""
    from PIL import Image

    small = Image.fromarray(np.ascontiguousarray(pixels)).convert("F").resize((columns, rows), Image.Resampling.BOX)
    return np.asarray(small, np.float64)


def difference_hash(pixels: np.ndarray) -> int:
    """64-bit hash: whether each of 8 x 9 block means is darker than its right neighbour. Equal for rescaled copies."""
    blocks = means(pixels, HASH_SIDE, HASH_SIDE + 1)
    return int.from_bytes(np.packbits(blocks[:, :-1] < blocks[:, 1:]).tobytes(), "big")


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """(1024,) float32 of mean 0 and norm 1 from 32 x 32 block means; zeros where the image is flat."""
    values = means(pixels, THUMB_SIDE, THUMB_SIDE).ravel()
    values = values - values.mean()
    norm = float(np.linalg.norm(values))
    return (values / norm if norm > 1e-6 else np.zeros_like(values)).astype(np.float32)


def close_hashes(first: np.ndarray, second: np.ndarray, distance: int) -> Iterator[tuple[int, int]]:
    """Index pairs of two uint64 arrays whose hashes differ in at most `distance` bits; every pair is looked at."""
    for start in range(0, len(first), _ROWS_AT_ONCE):
        bits = np.bitwise_count(first[start : start + _ROWS_AT_ONCE, None] ^ second[None, :])
        for a, b in np.argwhere(bits <= distance):
            yield start + int(a), int(b)
