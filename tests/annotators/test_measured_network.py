"""The annotator's perceptrons and what is read from their densities."""

import numpy as np
import pytest

from knowlip.annotators.measured import network
from knowlip.annotators.measured.cover import Context, Cover, classify
from knowlip.annotators.measured.features import FEATURES, cell_features
from knowlip.annotators.measured.locate import expected, locate
from knowlip.base.vocabulary import LAND_COVER, SHIP_TYPES


def noise_image(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.clip(np.random.default_rng(seed).normal(120, 30, shape), 1, 255).astype(np.uint8)


def test_weights_fit_the_layers() -> None:
    weights = network._weights()
    for name, (inputs, outputs) in network.LAYERS.items():
        assert weights[name][0].shape == (inputs, outputs)
        assert weights[name][1].shape == (outputs,)
        assert np.isfinite(weights[name][0]).all()
    numbers = sum(matrix.size + bias.size for matrix, bias in weights.values())
    assert 2 * numbers < 300_000
    assert len(network.CENTRE) == len(network.SCALE) == len(FEATURES)


@pytest.mark.parametrize("shape", [(256, 256), (100, 256), (33, 70), (500, 320)])
def test_outputs_cover_the_cells(shape: tuple[int, int]) -> None:
    cells = cell_features(noise_image(shape), 2.0)
    out = network.run(cells, network.condition_vector(8.0, cells.noise, 0, 0, 0, 0))
    rows, cols = -(-cells.valid.shape[0] // 2), -(-cells.valid.shape[1] // 2)
    for name, channels in network.HEADS.items():
        assert out[name].shape == (rows, cols, channels)
        assert np.isfinite(out[name]).all()


def test_layers_are_relu_perceptrons() -> None:
    x = np.random.default_rng(1).normal(size=(3, 4, network.INPUTS)).astype(np.float32)
    weights = network._weights()
    expected_ = x
    for number in (1, 2, 3):
        matrix, bias = weights[f"first{number}"]
        expected_ = np.einsum("ijk,kl->ijl", expected_, matrix) + bias
        expected_ = np.where((expected_ > 0) | (number == 3), expected_, 0)
    np.testing.assert_allclose(network._layers(x, "first"), expected_, rtol=1e-3, atol=1e-3)


def test_posteriors_are_probabilities_and_nodata_stays_out() -> None:
    image = noise_image((256, 256))
    image[:, :128] = 0
    cover = classify(cell_features(image, 2.0), 2.0, Context())
    np.testing.assert_allclose(sum(cover.posterior.values()), 1.0, rtol=1e-4)
    assert (cover.codes[:, :15] == 0).all()
    assert (cover.codes[:, 17:] > 0).all()
    assert not cover.rates[:, :15].any()
    assert set(cover.posterior) == set(LAND_COVER.values()) - {"nodata"}


def test_coarse_pixels_show_no_narrow_cover() -> None:
    cover = classify(cell_features(noise_image((256, 256)), 10.0), 10.0, Context())
    assert max(float(cover.posterior[name].max()) for name in ("runway", "apron", "road", "quay")) < 0.01


def planted(at: list[tuple[int, int, float]]) -> Cover:
    """No cover to speak of, ships expected in some cells (row, column, number)."""
    rates, sizes, types = np.zeros((32, 32, 2)), np.zeros((32, 32, 4)), np.zeros((32, 32, 10))
    types[..., 3] = 1.0
    for row, col, rate in at:
        rates[row, col, 0] = rate
    sizes[..., 0], sizes[..., 2:] = np.log(2.0), (0.0, 1.0)
    return Cover(np.ones((32, 32), np.uint8), {}, {}, 8, rates, sizes, types)


def test_targets_lie_where_the_density_is() -> None:
    cover = planted([(0, 0, 0.9), (31, 31, 1.0), (10, 20, 2.0)])
    assert expected(cover, "ship") == pytest.approx(3.9)
    found = locate(cover, "ship", 4)
    places = sorted((round(target.x * 32 - 0.5), round(target.y * 32 - 0.5)) for target in found)
    assert places == [(0, 0), (20, 10), (20, 10), (31, 31)]
    assert {target.type for target in found} == {SHIP_TYPES[3].name}
    assert found[0].length_m == pytest.approx(100.0)
    assert found[0].heading_deg == pytest.approx(45.0)
    assert locate(cover, "aircraft", 2) == []
