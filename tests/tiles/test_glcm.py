"""Grey-level co-occurrence against scikit-image, and what nodata must not do."""

import numpy as np
import pytest
from skimage.feature import graycomatrix, graycoprops

from knowlip.tiles.glcm import FEATURES, glcm_features, level_table

ANGLES = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]


def speckle(shape, seed=0):
    return np.clip(np.random.default_rng(seed).gamma(3, 40, shape), 1, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(256, 256), (61, 40), (40, 61), (2, 2), (1, 9)])
def test_equal_to_scikit_image(shape):
    tile = speckle(shape)
    matrix = graycomatrix(level_table()[tile], [1], ANGLES, levels=32, symmetric=True, normed=True)
    found = glcm_features(tile)
    has_pairs = matrix[:, :, 0].sum(axis=(0, 1)) > 0
    for name in FEATURES:
        wanted = graycoprops(matrix, {"asm": "ASM"}.get(name, name))[0][has_pairs].mean()
        assert found[name] == pytest.approx(wanted, abs=1e-6), name


def test_pairs_with_nodata_do_not_count():
    tile = speckle((50, 60), 1)
    assert glcm_features(np.pad(tile, 7)) == pytest.approx(glcm_features(tile), abs=1e-12)
    holed = tile.copy()
    holed[20:30, 10:40] = 0
    pairs = {}
    for down, right in ((0, 1), (1, 1), (1, 0), (1, -1)):
        matrix = np.zeros((32, 32))
        for y in range(50):
            for x in range(60):
                v, u = y + down, x + right
                if v < 50 and 0 <= u < 60 and holed[y, x] and holed[v, u]:
                    a, b = level_table()[holed[y, x]], level_table()[holed[v, u]]
                    matrix[a, b] += 1
                    matrix[b, a] += 1
        pairs[down, right] = matrix / matrix.sum()
    i, j = np.mgrid[:32, :32]
    contrast = np.mean([(matrix * (i - j) ** 2).sum() for matrix in pairs.values()])
    assert glcm_features(holed)["contrast"] == pytest.approx(contrast, abs=1e-9)


def test_order_of_constant_stripes_and_noise():
    constant = glcm_features(np.full((64, 64), 90, np.uint8))
    stripes = glcm_features(np.tile(np.repeat([60, 180], 4), (64, 8)).astype(np.uint8))
    noise = glcm_features(np.random.default_rng(0).integers(1, 256, (64, 64)).astype(np.uint8))
    assert constant["contrast"] == 0
    assert constant["energy"] == constant["homogeneity"] == 1
    assert constant["correlation"] == 1
    assert constant["entropy"] < stripes["entropy"] < noise["entropy"]
    assert constant["energy"] > stripes["energy"] > noise["energy"]
    assert abs(noise["correlation"]) < 0.05


def test_nothing_to_count_and_no_tile():
    assert set(glcm_features(np.zeros((8, 8), np.uint8)).values()) == {0.0}
    for wrong in (np.zeros((8, 8)), np.zeros(8, np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            glcm_features(wrong)
