"""Why a scene cannot be used, as types: programs read the type, people read the sentence."""


class SceneError(ValueError):
    """A scene is refused. Every subclass names one reason, its `kind`; the sentence says what to do."""

    kind = "refused"

    def __init_subclass__(cls, kind: str) -> None:
        cls.kind = kind


class UnknownFormat(SceneError, kind="unknown-format"):
    """No reader knows the file, or it is not the product that its name says."""


class DamagedProduct(SceneError, kind="damaged"):
    """The product is incomplete, truncated, or contradicts itself."""


class NoLocation(SceneError, kind="no-location"):
    """Nothing says where on the ground the pixels lie."""


class PoorGeolocation(SceneError, kind="poor-geolocation"):
    """The control points do not agree with each other: the fit's residual is above the threshold."""


class SlantRange(SceneError, kind="slant-range"):
    """Pixels are spaced in slant range and nothing says how to bring them to the ground."""


class NotCalibrated(SceneError, kind="not-calibrated"):
    """A calibration was asked for that the product does not carry, or carries in impossible values."""


class NoData(SceneError, kind="no-data"):
    """Not a single valid pixel."""


class NotStated(SceneError, kind="not-stated"):
    """Something is asked for, or needed, that the product does not state: it has to be told, and is not guessed."""
