"""From the backscatter quantity a product carries to the one that is asked for, and what happens where it carries none.

The rule of all readers: sigma0 is what users get where the product allows it; a product without calibration is read as
relative numbers, with a note. beta0 and gamma0 are demands: a product that cannot give them is refused.
"""

import math
from pathlib import Path

import numpy as np

from knowlip.scenes.errors import NotCalibrated
from knowlip.scenes.scene import SceneOverrides

_FLAT = 1.0
"""Incidence angles (degrees) below this make sigma0 of beta0 meaningless."""


def conversion(held: str, wanted: str, incidence_deg: float | np.ndarray, path: Path) -> np.ndarray:
    """Factor that turns power in one quantity into another on a flat ground, in the shape of `incidence_deg`.

    beta0 = sigma0 / sin(theta) = gamma0 / tan(theta), theta the incidence angle on the ellipsoid (Raney et al. 1994).

    Raises:
        NotCalibrated: the incidence angle is needed and not known.
    """
    theta = np.asarray(incidence_deg, float)
    if held == wanted:
        return np.ones(theta.shape)
    if not (np.all(np.isfinite(theta)) and np.all((theta > _FLAT) & (theta < 90))):
        raise NotCalibrated(
            f"{path} holds {held} and no incidence angle, so {wanted} cannot be computed; read it with --read.quantity "
            f"{held}."
        )
    angle = np.radians(theta)
    from_beta = {"beta0": np.ones(theta.shape), "sigma0": np.sin(angle), "gamma0": np.tan(angle)}
    return np.asarray(from_beta[wanted] / from_beta[held])


def relative(path: Path, overrides: SceneOverrides, why: str) -> str:
    """The note of a product that is read without calibration; `why`: a clause, "its metadata hold no constant".

    Raises:
        NotCalibrated: the user asks for beta0 or gamma0.
    """
    if overrides.calibrate and overrides.quantity != "sigma0":
        raise NotCalibrated(
            f"{path} cannot be read as {overrides.quantity}: {why}; read it as relative numbers with --read.calibrate "
            "false."
        )
    return f"Not calibrated: {why}." if overrides.calibrate else "Not calibrated, as asked for."


def finite(value: object) -> float:
    """A number from metadata; NaN where it is absent, "NULL" or no number."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan
