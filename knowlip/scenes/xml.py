"""XML of product metadata. It comes from strangers: no DOCTYPE, so no entities, and nothing fetched from elsewhere."""

import math
import re
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from knowlip.scenes.errors import DamagedProduct
from knowlip.scenes.opening import require_file

LARGEST_XML = 64 * 2**20
"""Annotations of long strips hold some 20 MB; beyond this something is wrong."""
_MOST_MARKS = 8_000_000
"""Of "<" and "=", which begin elements and attributes: these take some 50 bytes of memory each, whatever the file."""
_DOCTYPE = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)


def read_xml(source: Path | bytes, name: str = "") -> Element:
    """Parse an XML file.

    Namespaces are left out of tag and attribute names ("s1:pass" becomes "pass"), so that paths work for every version
    of a schema.

    Args:
        source: a file, or its content.
        name: named in messages; empty: the path.

    Raises:
        DamagedProduct: it is absent, too large, not well-formed, or carries a DOCTYPE or entity declaration.
    """
    name = name or (str(source) if isinstance(source, Path) else "the XML")
    content = source if isinstance(source, bytes) else _read(source, name)
    if len(content) > LARGEST_XML:
        raise DamagedProduct(f"{name} is larger than {LARGEST_XML >> 20} MB, which no product's metadata is.")
    if content.count(b"<") + content.count(b"=") > _MOST_MARKS:
        raise DamagedProduct(f"{name} has more elements and attributes than any product's metadata.")
    try:
        text = _plain(content)
        if _DOCTYPE.search(text):
            raise DamagedProduct(f"{name} declares a DOCTYPE or entities, which products do not; it is not read.")
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, RecursionError, UnicodeError, LookupError, ValueError) as error:
        if isinstance(error, DamagedProduct):
            raise
        raise DamagedProduct(f"{name} is not well-formed XML, is it complete? ({error})") from error
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
        for key in [key for key in element.attrib if "}" in key]:
            element.attrib[key.rpartition("}")[2]] = element.attrib.pop(key)
    return root


def root_tag(path: Path) -> str:
    """Tag of the root element without its namespace, from the first bytes of a file; "" where that is no XML.

    Cheap enough to look at every XML file of a folder.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
    except OSError:
        return ""
    head = re.sub(rb"<!--.*?(?:-->|$)|<\?.*?(?:\?>|$)", b"", head, flags=re.DOTALL)
    found = re.match(rb"(?:\xef\xbb\xbf)?\s*<(?:[\w.-]+:)?([\w.-]+)[\s/>]", head)
    return found[1].decode("ascii", "replace") if found else ""


def text_of(element: Element, path: str, default: str = "") -> str:
    """Text of the first element at `path` (ElementTree's paths), stripped; `default` where it is absent or empty."""
    found = element.find(path)
    return ((found.text or "").strip() if found is not None else "") or default


def need(element: Element, path: str, name: str) -> Element:
    """The first element at `path`.

    Raises:
        DamagedProduct: it is absent; `name` is the file, for the message.
    """
    found = element.find(path)
    if found is None:
        raise DamagedProduct(f"{name} has no element {path}, is it the metadata of a product and complete?")
    return found


def need_text(element: Element, path: str, name: str) -> str:
    """Text of the first element at `path`, stripped and not empty.

    Raises:
        DamagedProduct: it is absent or empty.
    """
    text = (need(element, path, name).text or "").strip()
    if not text:
        raise DamagedProduct(f"{name} has nothing in its element {path}.")
    return text


def need_number(element: Element, path: str, name: str) -> float:
    """Finite number in the first element at `path`.

    Raises:
        DamagedProduct: it is absent or not a number.
    """
    text = need_text(element, path, name)
    number = _number(text)
    if math.isnan(number):
        raise DamagedProduct(f"{name} holds {text[:40]!r} in {path}, which is not a number.")
    return number


def need_count(element: Element, path: str, name: str) -> int:
    """Whole number, 0 or more, in the first element at `path`.

    Raises:
        DamagedProduct: it is absent or something else.
    """
    number = need_number(element, path, name)
    if number < 0 or number != int(number) or number > 2**31:
        raise DamagedProduct(f"{name} holds {number:g} in {path}, which is not a number of things.")
    return int(number)


def number_at(element: Element, path: str, default: float) -> float:
    """Finite number in the first element at `path`; `default` where it is absent or not a number."""
    number = _number(text_of(element, path))
    return default if math.isnan(number) else number


def _number(text: str) -> float:
    """A finite number; NaN where the text is none."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _read(path: Path, name: str) -> bytes:
    require_file(path)
    try:
        if path.stat().st_size > LARGEST_XML:
            raise DamagedProduct(f"{name} is larger than {LARGEST_XML >> 20} MB, which no product's metadata is.")
        return path.read_bytes()
    except OSError as error:
        raise DamagedProduct(f"{name} cannot be read, is the product complete? ({error.strerror or error})") from error


def _plain(content: bytes) -> bytes:
    """The content as UTF-8 where it is UTF-16, so that a DOCTYPE cannot hide in another encoding.

    Raises:
        ValueError: an encoding that is not a superset of ASCII.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = content.decode("utf-16")
        return re.sub(r"^\s*<\?xml.*?\?>", "", text, count=1, flags=re.DOTALL).encode()
    head = content[:200].replace(b"\x00", b"")
    named = re.search(rb"encoding\s*=\s*[\"']([\w.:-]+)[\"']", head)
    encoding = named[1].decode().lower() if named else "utf-8"
    if b"\x00" in content[:200] or not encoding.startswith(("utf-8", "us-ascii", "ascii", "iso-8859", "windows-125")):
        raise ValueError(f"encoding {encoding}")
    return content


def time_of(text: str, name: str) -> datetime:
    """A UTC time as product metadata write it, "2021-01-05T05:33:11.123456" with or without Z.

    Raises:
        DamagedProduct: it is none.
    """
    try:
        return datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        raise DamagedProduct(f"{name} holds {text[:40]!r}, which is not a time.") from None
