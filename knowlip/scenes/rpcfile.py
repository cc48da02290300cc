"""Rational polynomial coefficients from a file beside the image, in the three ways they are written:

- RPC00B text (`_RPC.TXT`, `.rpc`): `LINE_OFF: 123.0`, `LINE_NUM_COEFF_1: 1.0E-03`, ...
- RPB text (`.rpb`, and Gaofen's `.rpc`): `lineOffset = 123.0;`, `lineNumCoef = (1.0, 2.0, ...);`
- RPB as XML: `<LINEOFFSET>123.0</LINEOFFSET>`, `<LINENUMCOEF>1.0 2.0 ...</LINENUMCOEF>`
"""

import re
from pathlib import Path

from knowlip.base.files import regular_file
from knowlip.scenes.errors import DamagedProduct
from knowlip.scenes.rpc import Rpc
from knowlip.scenes.xml import read_xml

_LARGEST = 2**20
_ENTRY = re.compile(r"([A-Za-z_]+?)(?:_(\d{1,2}))?\s*[:=]\s*(\([^)]*\)|[^;\n]*)")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?")
_NAMES = [f"{axis}_{part}" for axis in ("LINE", "SAMP", "LAT", "LONG", "HEIGHT") for part in ("OFF", "SCALE")]
_NAMES += [f"{axis}_{part}_COEFF" for axis in ("LINE", "SAMP") for part in ("NUM", "DEN")]
_SPELLINGS = {name.replace("_", "").lower(): name for name in _NAMES}
_SPELLINGS |= {f"{key}set": name for key, name in _SPELLINGS.items() if name.endswith("_OFF")}
_SPELLINGS |= {key.removesuffix("f"): name for key, name in _SPELLINGS.items() if name.endswith("_COEFF")}


def read_rpc(path: Path, height_m: float | None = None) -> Rpc:
    """RPC of a text or XML file, at a height of the ground above the ellipsoid; None: the offset of the RPC.

    Raises:
        DamagedProduct: a value is absent or no number.
    """
    if regular_file(path).stat().st_size > _LARGEST:
        raise DamagedProduct(f"{path} is too large for RPCs.")
    content = path.read_bytes()
    values: dict[str, list[float]] = {}
    if content.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        for element in read_xml(content, str(path)).iter():
            _add(values, element.tag, element.text or "")
    else:
        for name, _, text in _ENTRY.findall(content.decode("latin-1")):
            _add(values, name, text)
    try:
        return Rpc.of({name: v if name.endswith("_COEFF") else v[0] for name, v in values.items()}, height_m)
    except DamagedProduct as error:
        raise DamagedProduct(f"{path}: {error}") from error


def _add(values: dict[str, list[float]], name: str, text: str) -> None:
    known = _SPELLINGS.get(name.replace("_", "").lower())
    if known:
        numbers = [float(number.replace("D", "e").replace("d", "e")) for number in _NUMBER.findall(text)]
        if numbers:
            values.setdefault(known, []).extend(numbers if known.endswith("_COEFF") else numbers[:1])
