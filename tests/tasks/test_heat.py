"""Scores of heat maps by hand, and with an answer whose evidence is known."""

import numpy as np
import pytest

from knowlip.tasks.metrics.heat import (
    SHARES,
    by_evidence,
    deletion_and_insertion,
    energy_inside,
    inside_boxes,
    plain_maps,
    points_inside,
    under_curve,
)


def test_boxes_hold_every_pixel_that_they_touch() -> None:
    found = inside_boxes([[[0.1, 0.1], [0.35, 0.1], [0.35, 0.3]], [[0.9, 0.9], [1.4, 1.2]]], (10, 20))
    want = np.zeros((10, 20), bool)
    want[1:3, 2:7] = True
    want[9:10, 18:20] = True
    np.testing.assert_array_equal(found, want)
    assert not inside_boxes([], (4, 4)).any()


def test_pointing_and_energy() -> None:
    inside = np.zeros((4, 4), bool)
    inside[1, 1:3] = True
    heat = np.zeros((4, 4))
    heat[1, 2], heat[3, 3] = 3, 1
    assert energy_inside(heat, inside) == 0.75
    assert points_inside(heat, inside) == 1
    assert points_inside(heat[::-1], inside) == 0
    heat[0, :3] = 3
    assert points_inside(heat, inside) == 1 / 4  # of four equal ones
    assert not points_inside(np.ones((4, 4)), np.ones((4, 4), bool))  # it points nowhere
    assert energy_inside(np.zeros((4, 4)), inside) == 2 / 16


def test_maps_without_a_model() -> None:
    image = np.full((64, 64), 20, np.uint8)
    image[40:50, 8:18] = 120
    image[5, 5] = 255  # a speckle
    maps = plain_maps(image)
    assert np.unravel_index(maps["image centre"].argmax(), image.shape) in [(31, 31), (31, 32), (32, 31), (32, 32)]
    assert np.unravel_index(maps["brightest pixels"].argmax(), image.shape) == (5, 5)
    y, x = np.unravel_index(maps["brightest 8 x 8 pixels"].argmax(), image.shape)
    assert 40 <= y < 50
    assert 8 <= x < 18


def test_the_area_under_a_curve() -> None:
    assert under_curve([1.0] * len(SHARES)) == pytest.approx(1)
    assert under_curve(list(SHARES)) == pytest.approx(0.5)


def test_the_right_map_deletes_and_inserts_fastest() -> None:
    """The answer's probability is the share of a bright square that can be seen."""
    image = np.full((20, 20), 50, np.uint8)
    image[3:7, 12:16] = 250
    target = image == 250

    def probability(images: list[np.ndarray]) -> np.ndarray:
        return np.array([(one[target] == 250).mean() for one in images])

    right, wrong = target.astype(float), (~target).astype(float)
    chance = np.random.default_rng(5).random((20, 20))
    scores = [deletion_and_insertion(image, heat, probability) for heat in (right, chance, wrong)]
    deletion, insertion = zip(*scores)
    assert deletion[0] < 0.1 < deletion[1] < 0.7 < deletion[2]
    assert insertion[0] > 0.9 > insertion[1] > 0.3 > insertion[2]


def test_equal_pixels_have_no_side() -> None:
    order = by_evidence(np.zeros((30, 30)))
    assert sorted(order) == list(range(900))
    assert abs(np.mean(order[:300] // 30) - 14.5) < 2
