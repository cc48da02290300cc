"""HTML by Jinja2: every value is escaped, and a value that is missing is an error."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image


def percent(value: float | None, digits: int = 1) -> str:
    """0.1234 -> "12.3 %"; None -> "–"."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def interval(ends: Sequence[float] | None) -> str:
    """[0.1, 0.2] -> "10.0–20.0"; None -> "–"."""
    return "–" if ends is None else f"{100 * ends[0]:.1f}–{100 * ends[1]:.1f}"


def decimals(value: float | None, digits: int = 3) -> str:
    """0.1234 -> "0.123"; None -> "–"."""
    return "–" if value is None else f"{value:,.{digits}f}"


def data_uri(data: bytes, kind: str) -> str:
    """A picture as part of a page; `kind` is "png" or "webp"."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def picture_uri(image: Image.Image | NDArray[np.uint8], side: int, quality: int = 72) -> str:
    """A picture with its longer side at most `side` pixels as WebP. Reducing averages speckle away."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((side, side), Image.Resampling.BOX)
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=quality, method=4)
    return data_uri(stream.getvalue(), "webp")


_ENVIRONMENT = Environment(
    loader=PackageLoader(__package__),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {"percent": percent, "interval": interval, "decimals": decimals}


def render(template: str, /, **values: Any) -> str:
    """A page made of a file in pages/templates. No value is trusted; only charts come as markup."""
    return _ENVIRONMENT.get_template(template).render(values)
