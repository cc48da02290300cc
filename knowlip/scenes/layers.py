"""What the name of a file or of a band says of its numbers: a layer that is no backscatter, a quantity, units.

A published naming is believed to the letter: in a product of such a family only the images are backscatter, whatever
else it holds. Elsewhere a name is taken word by word ("VV_masked", "Damaskus" and "relabelled" hold no word "mask" or
"label"), and only what it ends with counts.
"""

import re
from dataclasses import dataclass

_SHOWN = {
    "mask": "a mask",
    "label": "labels",
    "cover": "land cover",
    "incidence": "incidence angles",
    "dem": "elevations",
    "shadow": "layover and shadow",
    "lut": "a look-up table",
    "rgb": "a colour picture",
    "preview": "a preview",
    "phase": "interferometric phase or coherence",
    "looks": "numbers of looks",
    "factor": "conversion factors",
    "spread": "a spread over time or space",
    "count": "numbers of observations",
    "ratio": "a ratio or difference of images",
    "extreme": "an extreme of many images",
}
_ENDINGS = """mask=mask masks=mask msk=mask
label=label labels=label labelmask=label groundtruth=label ground-truth=label annotation=label annotations=label
landcover=cover land-cover=cover
incidence=incidence inc=incidence inc-map=incidence inc-angle=incidence incidence-angle=incidence linci=incidence
lia=incidence incidence-map=incidence incidence-angle-map=incidence incidence-angle-from-ellipsoid=incidence
lin=incidence incident-angle=incidence lv-theta=incidence lv-phi=incidence look-angle=incidence
dem=dem dsm=dem dtm=dem elevation=dem
ls-map=shadow layover=shadow shadow=shadow layover-shadow=shadow layover-shadow-mask=shadow
lut=lut rgb=rgb rgba=rgb quicklook=preview ql=preview preview=preview browse=preview thumbnail=preview
phase=phase coherence=phase corr=phase number-of-looks=looks anf=factor
std=spread stddev=spread std-dev=spread stdev=spread standard-deviation=spread variance=spread
count=count counts=count ratio=ratio difference=ratio diff=ratio"""
_LAYERS = {tuple(words.split("-")): kind for words, kind in (item.split("=") for item in _ENDINGS.split())}
_BAND_LAYERS: dict[tuple[str, ...], str] = {
    ("angle",): "incidence angles",
    ("latitude",): "coordinates",
    ("longitude",): "coordinates",
    ("lat",): "coordinates",
    ("lon",): "coordinates",
}
"""Names that are those of layers as a band, but may end the name of a file."""
_BAND_ENDINGS: dict[tuple[str, ...], str] = {
    ("var",): "spread",
    ("min",): "extreme",
    ("minimum",): "extreme",
    ("max",): "extreme",
    ("maximum",): "extreme",
}
"""Ends of names of bands; a file may be called so after a place, or hold a composite."""
_BETWEEN = re.compile(r"[vh]{2} ?[/+-] ?[a-z0-9_]*[vh]{2}", re.IGNORECASE)
"""Of two polarisations in one band: "VV/VH", "Sigma0_VV-Sigma0_VH"."""
_FOLDERS = re.compile(r"labels?|masks?|annotations?", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PASSED = re.compile(r"[0-9]+|[vh][vh]|hand", re.IGNORECASE)
"""Words after the one that says what a file is: "water_mask_2021", "Ghana_5_LabelHand"."""
_UNIT_WORDS = {"db": "db", "decibel": "db", "amplitude": "amplitude", "amp": "amplitude", "intensity": "intensity"}
_QUANTITY = re.compile(r"(sigma|beta|gamma)[ _-]?(?:0|nought|naught|zero)(?![0-9])", re.IGNORECASE)
_LENGTHS_AND_ANGLES = frozenset("m metre metres meter meters deg degree degrees rad radian radians".split())


@dataclass(frozen=True)
class Naming:
    """A published naming of products."""

    name: str
    pattern: re.Pattern[str]  # Of the stem; the group `layer` says which image or layer it is.
    images: re.Pattern[str]  # Layers that are backscatter.
    sensor: str
    band: str
    quantity: str = ""  # What its backscatter is, where the naming says it for all.
    units: str = ""


def _family(
    name: str, pattern: str, images: str, sensor: str, band: str, quantity: str = "", units: str = ""
) -> Naming:
    return Naming(name, re.compile(pattern), re.compile(images), sensor, band, quantity, units)


_ANY = r"[HV][HV]"
FAMILIES = (
    _family(
        "HyP3 RTC",
        r"S1[A-D]_[A-Z0-9]{2}_\d{8}T\d{6}_[A-Z]{2}[A-Z]_RTC\d\d_[A-Z]_(?P<code>[gs][pda]\w{2,4})_[0-9A-F]{4}(?:_(?P<layer>.+))?",
        _ANY,
        "sentinel-1",
        "C",
    ),
    _family(
        "HyP3 InSAR",
        r"S1(?:[A-D]{2}|_\d{6}_IW\d)_\d{8}T\d{6}_.*_INT\d\d_[A-Z]_\w{3,4}_[0-9A-F]{4}(?:_(?P<layer>.+))?",
        r"(?!)",
        "sentinel-1",
        "C",
    ),
    _family(
        "OPERA RTC-S1",
        r"OPERA_L2_RTC-S1(?:-STATIC)?_T\d{3}-\d{6}-IW\d_.*_v\d+\.\d+(?:_(?P<layer>.+))?",
        _ANY,
        "sentinel-1",
        "C",
        "gamma0",
        "intensity",
    ),
    _family(
        "Planetary Computer RTC",
        r"(?:iw|ew|s[1-6])-(?P<layer>.+)\.rtc",
        r"[vh][vh]",
        "sentinel-1",
        "C",
        "gamma0",
        "intensity",
    ),
    _family(
        "PALSAR RTC",
        r"AP_\d{5}_[A-Z]{3}_F\d{4}_RT\d(?:[._](?P<layer>.+))?",
        _ANY,
        "palsar",
        "L",
        "gamma0",
        "intensity",
    ),
    _family(
        "PALSAR mosaic",
        r"[NS]\d{2}[EW]\d{3}_(?:0[789]|1[0-9]|2[0-9])(?:_sl)?_(?P<layer>[A-Za-z]+)(?:_F\d{2}D\w{2})?",
        _ANY,
        "palsar",
        "L",
        "",
        "amplitude",
    ),
    _family(
        "PALSAR-2 level 2.2",
        r"ALOS2\w+-\d{6}_\w{3}[LR]2\.2\w{3}_(?P<layer>.+)",
        r"[HV][HV]_\w+",
        "palsar-2",
        "L",
        "gamma0",
        "amplitude",
    ),
    _family("Kompsat-5", r"K5_\d{14}_.*_L1[A-D](?:_(?P<layer>.+))?", r"", "kompsat-5", "X"),
)
"""Sources: HyP3 RTC and InSAR product guides (ASF), OPERA RTC-S1 product specification (JPL D-108758), ALOS PALSAR RTC
product guide (ASF), PALSAR-2/PALSAR mosaic format description (JAXA EORC), KOMPSAT-5 product specification (KARI)."""
_PALSAR_2_FROM = 14
"""Mosaics from 2014 on are of PALSAR-2."""


def family_of(stem: str) -> tuple[Naming, re.Match[str]] | None:
    """The family whose naming a file follows, by its name without the extension."""
    for family in FAMILIES:
        found = family.pattern.fullmatch(stem)
        if found:
            return family, found
    return None


def layer_of(stem: str) -> str:
    """What a file holds instead of backscatter, as its name (without the extension) says it: "a mask"; else ""."""
    found = family_of(stem)
    if found is None:
        return _by_words(_words(stem), _LAYERS)
    family, match = found
    layer = match["layer"] or ""
    if family.images.fullmatch(layer):
        return ""
    return _by_words(_words(layer), _LAYERS) or f"the layer {layer or 'without a name'} of a product of {family.name}"


def layer_of_band(description: str, unit: str = "") -> str:
    """What a band holds instead of backscatter, by its description and unit; "" where nothing says so."""
    words = _words(description)
    by_name = _by_words(words, _LAYERS) or _by_words(words, _BAND_ENDINGS) or _BAND_LAYERS.get(tuple(words), "")
    if not by_name and _BETWEEN.search(description):
        by_name = _SHOWN["ratio"]
    return by_name or (f"numbers in {unit}" if unit.lower() in _LENGTHS_AND_ANGLES else "")


def folder_of_layers(name: str) -> bool:
    """Whether a folder is called "labels", "masks" or "annotations"."""
    return _FOLDERS.fullmatch(name) is not None


def units_named(text: str) -> str:
    """Units that the name of a band or a file states in a word of its own ("Sigma0_VV_db"), else ""."""
    found = family_of(text)
    if found is not None and "code" in found[1].groupdict():
        return {"p": "intensity", "d": "db", "a": "amplitude"}[found[1]["code"][1]]
    if found is not None and found[0].units:
        return found[0].units
    words = [word.lower() for word in re.split(r"[^A-Za-z0-9]+", text)]
    named = {_UNIT_WORDS[word] for word in words if word in _UNIT_WORDS}
    return "db" if "db" in named else named.pop() if len(named) == 1 else ""


def quantity_named(text: str) -> str:
    """The quantity that the name of a band or a file states ("Gamma0_VH"), else ""."""
    found = family_of(text)
    if found is not None and "code" in found[1].groupdict():
        return {"g": "gamma0", "s": "sigma0"}[found[1]["code"][0]]
    if found is not None and found[0].quantity:
        return found[0].quantity
    named = {f"{match.lower()}0" for match in _QUANTITY.findall(text)}
    return named.pop() if len(named) == 1 else ""


def sensor_of_family(stem: str) -> tuple[str, str]:
    """(sensor, radar band) of a published naming, else ("", "")."""
    found = family_of(stem)
    if found is None:
        return "", ""
    family, match = found
    if family.name == "PALSAR mosaic" and int(match[0].split("_")[1]) >= _PALSAR_2_FROM:
        return "palsar-2", family.band
    return family.sensor, family.band


def _words(text: str) -> list[str]:
    """Words of a name in lower case; capitals within a word begin a new one ("LabelHand")."""
    return [word.lower() for word in _WORD.findall(text)]


def _by_words(words: list[str], layers: dict[tuple[str, ...], str]) -> str:
    while words and (tuple(words[-1:]) not in layers) and _PASSED.fullmatch(words[-1]):
        words = words[:-1]
    kinds = [kind for ending, kind in layers.items() if tuple(words[-len(ending) :]) == ending]
    return _SHOWN.get(kinds[0], kinds[0]) if kinds else ""
