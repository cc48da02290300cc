"""Axes of drawn strips, and the words made of them."""

import numpy as np
import pytest

from knowlip.annotators.measured.lines import SHARP, Axis, axis_of, worth_a_word
from knowlip.language.definitions import axial_difference


def strip(heading: float, offset: float = 0.0, half: float = 1.5, side: int = 32) -> np.ndarray:
    """A strip along a heading (degrees clockwise from north), `offset` cells beside the middle."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    across = x * np.cos(np.deg2rad(heading)) + y * np.sin(np.deg2rad(heading))
    return np.clip(half + 0.5 - abs(across - offset), 0.0, 1.0).astype(np.float32)


@pytest.mark.parametrize("heading", range(0, 180, 10))
@pytest.mark.parametrize("offset", [0.0, 7.0])
def test_a_strip_gives_its_heading(heading: int, offset: float) -> None:
    noise = np.random.default_rng(heading).uniform(0.0, 0.1, (32, 32)).astype(np.float32)
    axis = axis_of(strip(heading, offset) + noise)
    assert axis is not None
    assert axial_difference(axis.heading_deg, heading) <= 5.0
    assert axis.sharpness >= SHARP


def test_parallel_streets_share_an_axis() -> None:
    axis = axis_of(sum(strip(30.0, offset, 0.5) for offset in (-9.0, -3.0, 3.0, 9.0)))  # type: ignore[arg-type]
    assert axis is not None
    assert axial_difference(axis.heading_deg, 30.0) <= 7.5


def test_no_axis_without_a_line() -> None:
    assert axis_of(np.zeros((32, 32), np.float32)) is None
    level = axis_of(np.random.default_rng(0).uniform(0.4, 0.6, (32, 32)).astype(np.float32))
    assert level is not None
    assert level.sharpness < SHARP


def test_only_a_direction_that_stands_out_is_worth_a_word() -> None:
    assert worth_a_word(Axis(45.0, 2 * SHARP)) == 45.0
    assert worth_a_word(Axis(45.0, 0.9 * SHARP)) is worth_a_word(None) is None
