"""What a file name says: scene identifier, date, sensor, polarisation."""

import re
from datetime import UTC, datetime
from pathlib import Path

_SENTINEL_1 = re.compile(r"(?:^|[^a-z0-9])s1[abcd]?(?:_|-|hand|$)", re.IGNORECASE)
_POLARISATION = re.compile(r"(?<![a-z])(vv|vh|hh|hv)(?![a-z])", re.IGNORECASE)
_STAMP = re.compile(r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})(?:T(\d{2})(\d{2})(\d{2}))?(?!\d)")
_LONGEST_ID = 56


def word_of(value: object, *words: str) -> str:
    """A value of metadata in lower case where it is one of the words, else ""."""
    return str(value).lower() if str(value).lower() in words else ""


def second_of(stamp: str) -> str:
    """The ISO date, or date and time to the second (UTC), that a text of metadata begins with; "" where it does not.
    A time with an offset from UTC ("+05:30") is brought to UTC."""
    found = re.match(r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}:\d{2})(?:\.\d+)?([+-]\d{2}:?\d{2})?)?", stamp)
    if found is None:
        return ""
    if found[3] is None:
        return f"{found[1]}T{found[2]}Z" if found[2] else found[1]
    try:
        moment = datetime.fromisoformat(f"{found[1]}T{found[2]}{found[3]}").astimezone(UTC)
    except (ValueError, OverflowError):
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def slug(name: str) -> str:
    """Lower-case letters, digits and single hyphens only: an identifier that is safe in tar keys and file names."""
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return text[:_LONGEST_ID].rstrip("-") or "scene"


def scene_id_of(path: Path) -> str:
    """Scene identifier of a file, from its name without the extension."""
    return slug(path.stem)


def sensor_of(name: str) -> tuple[str, str]:
    """(sensor, radar band) where the name follows a known convention, else ("", "")."""
    return ("sentinel-1", "C") if _SENTINEL_1.search(name) else ("", "")


def polarisation_of(name: str) -> str:
    """VV, VH, HH or HV where exactly one of them stands in the name, else ""."""
    found = {match.upper() for match in _POLARISATION.findall(name)}
    return found.pop() if len(found) == 1 else ""


def date_of(name: str) -> str:
    """First plausible date of the name as ISO text, "2021-01-05" or "2015-03-09T17:30:17Z", else ""."""
    for match in _STAMP.finditer(name):
        parts = [int(part) for part in match.groups() if part is not None]
        try:
            stamp = datetime(*parts)  # type: ignore[arg-type]
        except ValueError:
            continue
        if 1978 <= stamp.year <= 2100:
            return stamp.strftime("%Y-%m-%dT%H:%M:%SZ") if len(parts) == 6 else stamp.strftime("%Y-%m-%d")
    return ""
