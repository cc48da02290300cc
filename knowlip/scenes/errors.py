"""Why a scene cannot be used, as types: programs read the type, people read the sentence."""


class SceneError(ValueError):
    """A scene is refused. Every subclass names one reason; the sentence says what to do."""

    kind = "refused"


class UnknownFormat(SceneError):
    """No reader knows the file, or it is not the product that its name says."""

    kind = "unknown-format"


class DamagedProduct(SceneError):
    """The product is incomplete, truncated, or contradicts itself."""

    kind = "damaged"


class NoLocation(SceneError):
    """Nothing says where on the ground the pixels lie."""

    kind = "no-location"


class PoorGeolocation(SceneError):
    """The control points do not agree with each other: the fit's residual is above the threshold."""

    kind = "poor-geolocation"


class SlantRange(SceneError):
    """Pixels are spaced in slant range and nothing says how to bring them to the ground."""

    kind = "slant-range"


class NotCalibrated(SceneError):
    """A calibration was asked for that the product does not carry, or carries in impossible values."""

    kind = "not-calibrated"


class NoData(SceneError):
    """Not a single valid pixel."""

    kind = "no-data"
